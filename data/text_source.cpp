#include "data/text_source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/text.h"
#include "data/byte_reader.h"
#include "data/document_cutter.h"
#include "data/text_cuts.h"

namespace mixspan {

namespace fs = std::filesystem;

namespace {

// git's rule: a zero byte near the beginning makes a file binary (or UTF-16).
constexpr std::size_t kBinaryProbe = 8000;

struct Input {
  fs::path path;
  bool named;  // by the user, and not found in a folder
  std::int64_t bytes;
};

bool is_jsonl(fs::path path) {
  if (path.extension() == ".gz") path = path.stem();
  return path.extension() == ".jsonl";
}

bool is_hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

void list_folder(const fs::path& folder, std::vector<Input>& inputs) try {
  std::vector<fs::path> found;
  for (auto at = fs::recursive_directory_iterator(folder); at != fs::end(at); ++at) {
    if (is_hidden(at->path())) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (at->is_regular_file()) {
      found.push_back(at->path());
    }
  }
  require(!found.empty(), "{}: the folder holds no file", folder.string());
  std::sort(found.begin(), found.end());
  for (fs::path& path : found) {
    const auto bytes = static_cast<std::int64_t>(fs::file_size(path));
    inputs.push_back({std::move(path), false, bytes});
  }
} catch (const fs::filesystem_error& e) {
  refuse("{}: the folder cannot be listed: {}", folder.string(), e.code().message());
}

// The text of one line. Throws with `where`, "FILE:LINE".
std::string text_of_line(std::string_view line, const std::string& where) try {
  auto object = nlohmann::json::parse(line);
  require(object.is_object(), "{}: wanted a JSON object with the key \"text\", got {} {}", where,
          object.is_array() ? "an" : "a", object.type_name());
  const auto text = object.find("text");
  require(text != object.end(), "{}: the object has no key \"text\"", where);
  require(text->is_string(), "{}: \"text\" is a {}; wanted a string", where, text->type_name());
  return std::move(text->get_ref<std::string&>());
} catch (const nlohmann::json::parse_error& e) {
  refuse("{}: no valid JSON in UTF-8 at byte {} of the line", where, e.byte);
}

}  // namespace

struct TextSource::State {
  bool open_next();
  bool next_document();
  bool take_line(std::string& line);
  void read_more() {
    at_end = !reader->read(jsonl ? lines : document.incoming(), kPartBytes);
    if (at_end && !jsonl) document.finish();
  }

  std::vector<Input> inputs;
  std::size_t next_input = 0;
  TextCounts counts;
  std::int64_t finished_bytes = 0, total_bytes = 0;

  // The file being read.
  const Input* input = nullptr;
  std::optional<ByteReader> reader;
  bool jsonl = false;
  bool at_end = false;       // nothing is left to read
  std::string lines;         // of a .jsonl file: read but not yet taken
  std::size_t lines_at = 0;  // where the next line begins in it
  std::int64_t line_number = 0;

  DocumentCutter document;
  bool broken = false;  // bytes of it were no UTF-8
};

// Begins the next file; false where there is none.
bool TextSource::State::open_next() {
  if (input != nullptr) finished_bytes += input->bytes;
  input = nullptr;
  reader.reset();
  if (next_input == inputs.size()) return false;
  input = &inputs[next_input++];
  reader.emplace(input->path);
  jsonl = is_jsonl(input->path);
  lines.clear();
  lines_at = 0;
  line_number = 0;
  document.begin();
  broken = false;
  read_more();
  std::string& head = jsonl ? lines : document.incoming();
  if (head.substr(0, kBinaryProbe).find('\0') != std::string::npos) {
    require(!input->named,
            "{}: holds zero bytes, so it is binary or UTF-16; wanted text in UTF-8 ('iconv -t "
            "utf-8' converts)",
            input->path.string());
    ++counts.binary_files;
    head.clear();
    document.finish();
    at_end = true;
    return true;
  }
  ++counts.files;
  if (!jsonl && head.empty()) ++counts.empty_documents;
  return true;
}

bool TextSource::State::take_line(std::string& line) {
  std::size_t from = lines_at;
  for (;;) {
    const std::size_t end = lines.find('\n', from);
    if (end != std::string::npos || at_end) {
      if (lines_at == lines.size()) return false;
      line.assign(lines, lines_at, end == std::string::npos ? end : end - lines_at);
      lines_at = end == std::string::npos ? lines.size() : end + 1;
      ++line_number;
      return true;
    }
    lines.erase(0, lines_at);
    lines_at = 0;
    from = lines.size();
    require(lines.size() < kLongestLine, "{}:{}: the line is longer than {} MiB",
            input->path.string(), line_number + 1, kLongestLine >> 20);
    read_more();
  }
}

// The document of the file's next line; false where the file has none left.
bool TextSource::State::next_document() {
  std::string line;
  while (jsonl && take_line(line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    document.begin();
    broken = false;
    document.incoming() =
        text_of_line(line, fmt::format("{}:{}", input->path.string(), line_number));
    document.finish();
    if (!document.incoming().empty()) return true;
    ++counts.empty_documents;
  }
  return false;
}

TextSource::TextSource(const std::vector<fs::path>& inputs) : state_(std::make_unique<State>()) {
  for (const fs::path& path : inputs) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    require(fs::exists(status), "{}: no such file or folder", path.string());
    if (fs::is_directory(status)) {
      list_folder(path, state_->inputs);
      continue;
    }
    require(fs::is_regular_file(status), "{}: neither a file nor a folder", path.string());
    state_->inputs.push_back({path, true, static_cast<std::int64_t>(fs::file_size(path))});
  }
  for (const Input& input : state_->inputs) state_->total_bytes += input.bytes;
}

TextSource::~TextSource() = default;

bool TextSource::next(TextPart& part) {
  State& s = *state_;
  while (!s.document.cut(part)) {
    if (s.input != nullptr && !s.jsonl && !s.document.whole()) {
      s.read_more();
    } else if (s.input == nullptr || !s.next_document()) {
      if (!s.open_next()) return false;
    }
  }
  s.counts.cut_words = static_cast<std::int64_t>(s.document.words_cut());
  if (!s.broken && !is_utf8(part.text)) {
    s.broken = true;
    ++s.counts.broken_utf8;
  }
  return true;
}

const TextCounts& TextSource::counts() const { return state_->counts; }
std::int64_t TextSource::input_bytes() const { return state_->total_bytes; }
std::int64_t TextSource::bytes_read() const {
  const State& s = *state_;
  return s.finished_bytes + (s.reader ? s.reader->position() : 0);
}

}  // namespace mixspan
