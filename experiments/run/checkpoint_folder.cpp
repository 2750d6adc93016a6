#include "experiments/run/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace mixspan {

std::vector<StepFolder> step_folders(const std::filesystem::path& folder) {
  std::vector<StepFolder> found;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  require(!error, "{}: cannot be listed: {}", folder.string(), error.message());
  for (const std::filesystem::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    constexpr std::string_view kPrefix = "step-";
    if (!name.starts_with(kPrefix)) continue;
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, step);
    if (parsed.ec != std::errc() || parsed.ptr != end || name != step_name(step)) continue;
    found.push_back({step, entry.path()});
  }
  std::sort(found.begin(), found.end(),
            [](const StepFolder& a, const StepFolder& b) { return a.step > b.step; });
  return found;
}

std::string step_name(std::int64_t step) { return fmt::format("step-{:08}", step); }

ContentHash::ContentHash(const CheckpointMeta& meta) {
  add_number(meta.step);
  add_number(meta.tokens_seen);
  add_text(meta.config_toml);
  add_text(meta.tokenizer_json);
}

void ContentHash::add(const std::string& name, const ConstView& tensor) {
  add_text(name);
  // As HDF5 holds them: bf16 as u16, a scalar as one element.
  add_text(std::string(name_of(tensor.dtype() == DType::bf16 ? DType::u16 : tensor.dtype())));
  const Shape shape = tensor.shape().rank() == 0 ? Shape{1} : tensor.shape();
  add_number(shape.rank());
  for (std::int64_t d : shape.dims()) add_number(d);
  hash_.update(tensor.raw(), tensor.size_bytes());
}

void ContentHash::add_number(std::int64_t value) { hash_.update(&value, sizeof value); }

void ContentHash::add_text(const std::string& text) {
  add_number(static_cast<std::int64_t>(text.size()));
  hash_.update(text.data(), text.size());
}

}  // namespace mixspan
