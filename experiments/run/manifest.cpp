#include "experiments/run/manifest.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/hash.h"

namespace mixspan {

namespace {

constexpr const char* kFormat = "mixspan checkpoint";
constexpr std::int64_t kVersion = 1;
constexpr std::uintmax_t kMaxBytes = 1 << 20;

std::string text_of(const Manifest& m) {
  nlohmann::ordered_json json{{"format", kFormat},
                              {"version", kVersion},
                              {"step", m.step},
                              {"tokens_seen", m.tokens_seen},
                              {"build", m.build},
                              {"content", m.content},
                              {"files", nlohmann::ordered_json::object()}};
  for (const auto& [name, file] : m.files) {
    json["files"][name] = {{"bytes", file.bytes}, {"xxh3", file.xxh3}};
  }
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  const std::string undigested = json.dump(2, ' ', false, replace);
  json["digest"] = to_hex(xxh3_64(undigested.data(), undigested.size()));
  return json.dump(2, ' ', false, replace) + "\n";
}

Manifest parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text);
  Manifest m;
  json.at("step").get_to(m.step);
  json.at("tokens_seen").get_to(m.tokens_seen);
  json.at("build").get_to(m.build);
  json.at("content").get_to(m.content);
  for (const auto& [name, file] : json.at("files").items()) {
    FileDigest& digest = m.files[name];
    file.at("bytes").get_to(digest.bytes);
    file.at("xxh3").get_to(digest.xxh3);
  }
  return m;
}

}  // namespace

FileDigest file_digest(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  require(!error, "{}: cannot be read: {}", file.string(), error.message());
  return {bytes, to_hex(xxh3_file(file))};
}

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  replace_file(folder / "manifest.json", text_of(manifest));
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "manifest.json";
  std::error_code error;
  require(std::filesystem::exists(folder, error), "{}: there is no such checkpoint",
          folder.string());
  require(std::filesystem::is_regular_file(file, error),
          "{}: is not a checkpoint, because it has no manifest.json", folder.string());
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  require(!error && bytes > 0, "{}: is empty", file.string());
  require(bytes <= kMaxBytes, "{}: is damaged, or no manifest: it has {} bytes", file.string(),
          bytes);
  std::ifstream in(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  Manifest m;
  try {
    m = parse(text);
  } catch (const nlohmann::json::exception&) {
    refuse("{}: is damaged, or of another version of the program", file.string());
  }
  // Its own digest stands in the text, so that equal texts mean equal digests.
  require(text_of(m) == text, "{}: is damaged: its digest differs", file.string());
  return m;
}

void verify_files(const std::filesystem::path& folder, const Manifest& manifest, bool digests) {
  for (const auto& [name, wanted] : manifest.files) {
    const std::filesystem::path file = folder / name;
    std::error_code error;
    require(std::filesystem::is_regular_file(file, error), "{}: is missing", file.string());
    const std::uintmax_t bytes = std::filesystem::file_size(file, error);
    require(!error && bytes == wanted.bytes, "{}: is {}: it has {} bytes, and its manifest says {}",
            file.string(), bytes < wanted.bytes ? "truncated" : "damaged", bytes, wanted.bytes);
    if (!digests) continue;
    const std::string xxh3 = to_hex(xxh3_file(file));
    require(xxh3 == wanted.xxh3, "{}: is damaged: its digest is {}, and its manifest says {}",
            file.string(), xxh3, wanted.xxh3);
  }
}

}  // namespace mixspan
