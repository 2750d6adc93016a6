#include "experiments/hf/checked_json.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/error.h"

namespace mixspan {

namespace {
constexpr int kDepth = 16;
}  // namespace

std::string in_quotes(const std::string& text) {
  constexpr std::size_t kLongest = 120;
  const bool cut = text.size() > kLongest;
  // `replace`: the cut may fall inside a character.
  return nlohmann::json(text.substr(0, kLongest))
             .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
         (cut ? ".." : "");
}

nlohmann::json parse_json_object(std::string_view text, const std::string& what) {
  using nlohmann::json;
  std::vector<std::set<std::string>> keys;  // of each object that is open
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    require(depth <= kDepth, "{}: nested more than {} deep; not a file of this kind", what, kDepth);
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require(keys.back().insert(key).second, "{}: {} stands there twice", what, in_quotes(key));
    }
    return true;
  };
  try {
    json value = json::parse(text.begin(), text.end(), watch);
    require(value.is_object(), "{}: wanted a JSON object", what);
    return value;
  } catch (const json::parse_error& e) {
    refuse("{}: not valid JSON (error at byte {} of {}); the file is damaged or of another kind",
           what, e.byte, text.size());
  } catch (const json::exception&) {  // a number out of range
    refuse("{}: not valid JSON (a number out of range); the file is damaged or of another kind",
           what);
  }
}

nlohmann::json read_json_object(const std::filesystem::path& path, std::uint64_t limit) {
  std::error_code error;
  require(std::filesystem::is_regular_file(path, error), "{}: no such file", path.string());
  const std::uint64_t size = std::filesystem::file_size(path, error);
  require(!error && size <= limit, "{}: {} bytes; wanted at most {}", path.string(), size, limit);
  std::ifstream in(path, std::ios::binary);
  std::string text(size, '\0');
  in.read(text.data(), static_cast<std::streamsize>(size));
  require(!in.fail(), "{}: cannot be read", path.string());
  return parse_json_object(text, path.string());
}

}  // namespace mixspan
