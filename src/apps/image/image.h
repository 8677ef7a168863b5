// image: `casemate image`: images in the store, fetched, shown, removed, brought in and out.
#pragma once

#include <string>
#include <vector>

namespace casemate {

/// Runs `casemate image` with the arguments after "image"; the result is the program's exit status.
int image_main(const std::vector<std::string>& arguments);

}  // namespace casemate
