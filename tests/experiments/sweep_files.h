// Sweep files as tests write them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/sweep/sweep_file.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

inline constexpr const char* kBase =
    "[model]\nlayers = 4\nwidth = 64\nheads = 4\ncontext = 64\nspan = \"sliding:8\"\n"
    "[data]\ntrain = \"synthetic:recall:distance=32,pairs=4,values=8\"\n"
    "[train]\nsteps = 10\nbatch_tokens = 256\n";

/// A folder with base.toml and a sweep.toml that begins with "[sweep]\nbase = \"base.toml\"\n".
class SweepFolder {
 public:
  SweepFolder() { write_file(folder_ / "base.toml", kBase); }
  std::filesystem::path path() const { return folder_ / "sweep.toml"; }
  SweepFile load(const std::string& rest, const std::vector<std::string>& sets = {}) const {
    return load_whole("[sweep]\nbase = \"base.toml\"\n" + rest, sets);
  }
  SweepFile load_whole(const std::string& text, const std::vector<std::string>& sets = {}) const {
    write_file(path(), text);
    return SweepFile::load(path(), sets);
  }
  std::vector<SweepRun> runs(const std::string& rest) const {
    return load(rest).runs([](const SweepRun&) { return std::nullopt; });
  }
  /// The refusal, without the folder.
  std::string refused(const std::string& rest, const std::vector<std::string>& sets = {}) const {
    return without_folder(refusal([&] { load(rest, sets); }));
  }
  std::string refused_whole(const std::string& text) const {
    return without_folder(refusal([&] { load_whole(text); }));
  }

 private:
  std::string without_folder(std::string message) const {
    const std::string folder = folder_.path().string() + "/";
    for (std::size_t at; (at = message.find(folder)) != std::string::npos;) {
      message.erase(at, folder.size());
    }
    return message;
  }
  ScratchFolder folder_;
};

inline std::vector<std::string> names_of(const std::vector<SweepRun>& runs) {
  std::vector<std::string> names;
  for (const SweepRun& run : runs) names.push_back(run.name);
  return names;
}

/// The text that a setting of the run has, as TOML.
inline std::string value_of(const SweepRun& run, const std::string& key) {
  for (const Setting& s : run.settings) {
    if (s.key == key) return s.value;
  }
  return "";
}

}  // namespace mixspan::test
