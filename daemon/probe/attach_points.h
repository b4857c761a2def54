// Which place of the kernel each BPF program is attached to. Poll calls have two families of hooks:
// the kernel's functions by fentry and fexit, and the tracepoints of the system calls. Of the
// tracepoints one program serves many calls, because the kernel takes a tenth of a second to verify
// each of the programs; a program for a function belongs to that function.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

struct AttachPoint {
  std::string name;        // as loopsight_probe_attached says it
  std::string tracepoint;  // of the group syscalls; "": what the program's own section names
};

// System calls, by name: those whose kernel function has an fentry or fexit program attached.
using ByFunction = std::set<std::string, std::less<>>;

// Those system calls that `can_attach`, given the name of a kernel function, allows that of.
ByFunction calls_by_function(const std::function<bool(const std::string&)>& can_attach);

// Where a program is to be attached; nowhere if the other family serves its calls.
std::vector<AttachPoint> attach_points(std::string_view program, const ByFunction& by_function);

}  // namespace loopsight
