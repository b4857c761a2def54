// Names of hosts, as a configuration lists those that a server answers to.
#pragma once

#include <string>
#include <string_view>

namespace loopsight {

// Labels of letters, digits, '-' and '_', between dots.
bool is_host_name(std::string_view text);

// A name, or "*." and a name, which stands for all that is below that name.
bool is_host_pattern(std::string_view text);

// In lower case and without the dot that may end it: what two spellings of one name have in common.
std::string plain_host_name(std::string_view text);

}  // namespace loopsight
