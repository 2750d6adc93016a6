// JSON from files that nobody vouches for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mixspan {

/// Parses one JSON object. Throws InputError, one line that starts with `what`, on anything else,
/// on a key that stands twice in an object and on nesting deeper than any file here needs.
nlohmann::json parse_json_object(std::string_view text, const std::string& what);
/// The same for a file of at most `limit` bytes.
nlohmann::json read_json_object(const std::filesystem::path& path,
                                std::uint64_t limit = 100'000'000);
/// A text from a file made fit for a one-line message: quoted, escaped, cut when long.
std::string in_quotes(const std::string& text);

}  // namespace mixspan
