// Runs each input of a corpus once: fuzz_replay CORPUS [TARGET...]. CORPUS/TARGET/* are the inputs.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <vector>

#include "tests/fuzz/target.h"

namespace {

constexpr double kLongestSeconds = 20;  // of one input; they take milliseconds

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int replay(const std::filesystem::path& corpus, const std::set<std::string>& wanted) {
  int failed = 0;
  for (const auto& [name, target] : loopsight::fuzz::targets()) {
    if (!wanted.empty() && !wanted.contains(name)) continue;
    std::set<std::filesystem::path> inputs;
    if (std::filesystem::is_directory(corpus / name))
      for (const auto& entry : std::filesystem::directory_iterator(corpus / name))
        inputs.insert(entry.path());
    if (inputs.empty()) {
      std::printf("%s: no inputs in %s\n", name.c_str(), (corpus / name).c_str());
      failed++;
    }
    for (const auto& input : inputs) {
      // Said before, and out of the buffer, so that a crash is found.
      std::printf("%s %s\n", name.c_str(), input.filename().c_str());
      std::fflush(stdout);
      std::string bytes = read_file(input);
      auto start = std::chrono::steady_clock::now();
      target(bytes);
      std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (took.count() > kLongestSeconds) {
        std::printf("took %.1f s\n", took.count());
        failed++;
      }
    }
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz_replay CORPUS [TARGET...]\n");
    return 2;
  }
  return replay(argv[1], {argv + 2, argv + argc});
}
