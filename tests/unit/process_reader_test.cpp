#include "daemon/python/process_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace loopsight {
namespace {

std::string name(std::initializer_list<std::string> arguments) {
  std::string cmdline;
  for (const std::string& one : arguments) cmdline += one + '\0';
  return program_name(cmdline);
}

TEST(ProgramName, IsTheScriptOrModule) {
  EXPECT_EQ(name({"python3", "app.py"}), "app.py");
  EXPECT_EQ(name({"/usr/bin/python3.11", "-u", "/srv/app/main.py", "--port", "80"}), "main.py");
  EXPECT_EQ(name({"python3", "-m", "uvicorn", "app:app"}), "uvicorn");
  EXPECT_EQ(name({"python3", "-X", "dev", "-W", "error", "-O", "x.py"}), "x.py");
  EXPECT_EQ(name({"/srv/venv/bin/python", "/srv/venv/bin/gunicorn", "-w", "4"}), "gunicorn");
  EXPECT_EQ(name({"python3", "-c", "import secret_token"}), "-c");
  EXPECT_EQ(name({"python3", "-"}), "-");
  EXPECT_EQ(name({"python3"}), "python3");
  EXPECT_EQ(name({"/opt/tool/embedder", "x"}), "embedder");
}

TEST(ProgramName, IsNeverAnotherArgument) {
  EXPECT_EQ(name({"python3", "-Ic", "login('s3cret')"}), "-c");
  EXPECT_EQ(name({"python3", "-ucprint('s3cret')"}), "-c");
  EXPECT_EQ(name({"python3", "-um", "uvicorn", "s3cret"}), "uvicorn");
  EXPECT_EQ(name({"python3", "-Imuvicorn", "s3cret"}), "uvicorn");
  EXPECT_EQ(name({"python3", "-bX", "s3cret", "-Wignore", "app.py"}), "app.py");
  EXPECT_EQ(name({"python3", "--check-hash-based-pycs", "always", "app.py"}), "app.py");
  EXPECT_EQ(name({"python3", "-m"}), "-m");
  EXPECT_EQ(name({"/opt/tool/embedder", "-m", "s3cret"}), "embedder");
  EXPECT_EQ(name({"/opt/tool/embedder", "-ms3cret"}), "embedder");
}

TEST(ProgramName, TakesTheFirstWordOfATitle) {
  EXPECT_EQ(name({"gunicorn: worker [app]"}), "gunicorn");
  EXPECT_EQ(name({"celery worker -c 4 --password=x"}), "celery");
}

TEST(ProgramName, HasNothingToSayOfNothing) { EXPECT_EQ(program_name(""), ""); }

TEST(ProcessReader, SaysWhyAProcessIsNoPython) {
  ProcessReader reader;
  auto self = reader.read(static_cast<uint32_t>(getpid()));
  EXPECT_FALSE(self.is_python);
  EXPECT_NE(self.why_not.find("no CPython interpreter"), std::string::npos);
  EXPECT_EQ(reader.read(0x7FFFFFFF).why_not, "no such process");
}

}  // namespace
}  // namespace loopsight
