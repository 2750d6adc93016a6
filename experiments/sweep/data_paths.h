// Where the paths in configs of a sweep begin.
#pragma once

#include <filesystem>

#include "data/loader.h"

namespace mixspan {

/// `data` with relative paths as they are seen from `folder`; tasks that are made up have none.
DataConfig data_from(const std::filesystem::path& folder, DataConfig data);

/// The folder that relative paths in the runs' configs begin from: where the sweep in `out` was
/// started first, once one of its runs has begun; until then this process's. Throws InputError
/// where that is not there any more.
std::filesystem::path paths_begin(const std::filesystem::path& out);

}  // namespace mixspan
