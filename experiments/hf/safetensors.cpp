#include "experiments/hf/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>

#include "core/durable_file.h"
#include "experiments/hf/checked_json.h"

namespace mixspan {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::uint64_t kLengthBytes = 8;              // the header's length comes first
constexpr std::uint64_t kLongestHeader = 100'000'000;  // the format's own limit
constexpr const char* kDamaged = "the file is damaged or not a safetensors file";

// Bytes of one element; 0 for a dtype that is not known.
std::uint64_t dtype_bytes(const std::string& dtype) {
  static const std::map<std::string, std::uint64_t> bytes = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
      {"U32", 4},  {"F32", 4}, {"I64", 8}, {"U64", 8},     {"F64", 8}};
  const auto found = bytes.find(dtype);
  return found == bytes.end() ? 0 : found->second;
}

// One file being looked at: its path for messages and the number of bytes after the header.
struct Source {
  const fs::path& path;
  std::uint64_t header_end, data_bytes;
  std::string in(const std::string& tensor) const {
    return fmt::format("{}: tensor {}", path.string(), in_quotes(tensor));
  }
};

std::vector<std::uint64_t> read_numbers(const json& list, const std::string& what) {
  require(list.is_array(), "{}: wanted a list of whole numbers; {}", what, kDamaged);
  std::vector<std::uint64_t> numbers;
  for (const json& n : list) {
    // 2^62 bounds every number, so that later sums and conversions cannot overflow.
    require(n.is_number_unsigned() && n.get<std::uint64_t>() <= (std::uint64_t{1} << 62),
            "{}: wanted a list of whole numbers; {}", what, kDamaged);
    numbers.push_back(n.get<std::uint64_t>());
  }
  return numbers;
}

SafetensorsEntry read_entry(const Source& source, const std::string& name, const json& info) {
  const std::string what = source.in(name);
  require(info.is_object() && info.contains("dtype") && info["dtype"].is_string() &&
              info.contains("shape") && info.contains("data_offsets"),
          "{}: wanted dtype, shape and data_offsets; {}", what, kDamaged);
  const std::vector<std::uint64_t> dims = read_numbers(info["shape"], what + ": shape");
  const std::vector<std::uint64_t> range =
      read_numbers(info["data_offsets"], what + ": data_offsets");
  require(range.size() == 2, "{}: data_offsets has {} numbers; wanted 2", what, range.size());
  require(range[0] <= range[1] && range[1] <= source.data_bytes,
          "{}: bytes [{}, {}) of {} in the file; {}", what, range[0], range[1], source.data_bytes,
          kDamaged);

  SafetensorsEntry entry{source.path,
                         info["dtype"].get<std::string>(),
                         {},
                         source.header_end + range[0],
                         range[1] - range[0]};
  std::uint64_t bytes = dtype_bytes(entry.dtype);
  require(bytes > 0, "{}: dtype {} is not known", what, in_quotes(entry.dtype));
  for (std::uint64_t d : dims) {
    require(!__builtin_mul_overflow(bytes, d, &bytes), "{}: a shape of more bytes than 2^64; {}",
            what, kDamaged);
    entry.dims.push_back(static_cast<std::int64_t>(d));
  }
  require(bytes == entry.bytes, "{}: {} bytes where {} of its shape take {}; {}", what, entry.bytes,
          entry.dtype, bytes, kDamaged);
  return entry;
}

void check_metadata(const fs::path& path, const json& metadata) {
  require(metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                              [](const json& v) { return v.is_string(); }),
          "{}: __metadata__ must map texts to texts; {}", path.string(), kDamaged);
}

// Every byte of the data belongs to exactly one tensor.
void check_cover(const Source& source, const std::map<std::string, SafetensorsEntry>& entries) {
  std::vector<std::pair<const SafetensorsEntry*, const std::string*>> order;
  for (const auto& [name, entry] : entries) order.emplace_back(&entry, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first->begin, a.first->bytes) < std::tie(b.first->begin, b.first->bytes);
  });
  std::uint64_t at = source.header_end;
  for (const auto& [entry, name] : order) {
    require(entry->begin >= at, "{}: overlaps another tensor; {}", source.in(*name), kDamaged);
    require(entry->begin == at, "{}: {} bytes before it belong to no tensor; {}", source.in(*name),
            entry->begin - at, kDamaged);
    at = entry->begin + entry->bytes;
  }
  const std::uint64_t left = source.header_end + source.data_bytes - at;
  require(left == 0, "{}: the last {} bytes belong to no tensor; {}", source.path.string(), left,
          kDamaged);
}

float from_f16(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
  std::uint32_t bits = (exponent + 112) << 23 | mantissa << 13;
  if (exponent == 31) bits = 0x7f800000u | mantissa << 13;
  if (exponent == 0) bits = std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * 0x1p-24f);
  return std::bit_cast<float>(sign | bits);
}

template <class Widen>
void read_halves(std::ifstream& in, std::span<float> out, Widen widen) {
  std::vector<std::uint16_t> part(std::min<std::size_t>(out.size(), 1 << 19));
  for (std::size_t i = 0; i < out.size(); i += part.size()) {
    const std::size_t n = std::min(part.size(), out.size() - i);
    in.read(reinterpret_cast<char*>(part.data()), static_cast<std::streamsize>(n * 2));
    std::transform(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n),
                   out.begin() + static_cast<std::ptrdiff_t>(i), widen);
  }
}

// The shard that an index names must lie beside it, wherever the index came from.
fs::path shard_path(const fs::path& index, const json& shard) {
  require(shard.is_string(), "{}: weight_map must map names to file names", index.string());
  const std::string name = shard.get<std::string>();
  require(name.ends_with(".safetensors") && name.find('/') == std::string::npos &&
              name.find('\0') == std::string::npos,
          "{}: weight_map names the file {}; wanted the plain name of a .safetensors file",
          index.string(), in_quotes(name));
  return index.parent_path() / name;
}

}  // namespace

Safetensors Safetensors::open_file(const fs::path& path) {
  std::error_code error;
  require(fs::is_regular_file(path, error), "{}: no such file", path.string());
  const std::uint64_t size = fs::file_size(path, error);
  require(!error && size >= kLengthBytes, "{}: {} bytes are too few; {}", path.string(), size,
          kDamaged);
  std::ifstream in(path, std::ios::binary);
  std::uint64_t length = 0;
  in.read(reinterpret_cast<char*>(&length), kLengthBytes);
  require(!in.fail(), "{}: cannot be read", path.string());
  require(length <= kLongestHeader && length <= size - kLengthBytes,
          "{}: a header of {} bytes in a file of {}; {}", path.string(), length, size, kDamaged);
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  require(!in.fail(), "{}: cannot be read", path.string());
  require(text.starts_with('{'), "{}: the header does not start with '{{'; {}", path.string(),
          kDamaged);

  Safetensors file;
  file.source_ = path;
  const Source source{path, kLengthBytes + length, size - kLengthBytes - length};
  const json header = parse_json_object(text, path.string() + ": header");
  for (const auto& [name, info] : header.items()) {
    if (name == "__metadata__") {
      check_metadata(path, info);
    } else {
      file.entries_.emplace(name, read_entry(source, name, info));
    }
  }
  check_cover(source, file.entries_);
  return file;
}

Safetensors Safetensors::open_folder(const fs::path& folder) {
  const fs::path single = folder / "model.safetensors";
  std::error_code error;
  if (fs::exists(single, error)) return open_file(single);
  Safetensors all;
  all.source_ = folder / "model.safetensors.index.json";
  require(fs::exists(all.source_, error),
          "{}: holds neither model.safetensors nor model.safetensors.index.json; save the model "
          "with save_pretrained(FOLDER, safe_serialization=True)",
          folder.string());
  const json index = read_json_object(all.source_);
  require(index.contains("weight_map") && index["weight_map"].is_object(),
          "{}: wanted an object 'weight_map'", all.source_.string());
  std::map<fs::path, Safetensors> shards;
  for (const auto& [name, shard] : index["weight_map"].items()) {
    const fs::path path = shard_path(all.source_, shard);
    if (!shards.contains(path)) shards.emplace(path, open_file(path));
    all.entries_.emplace(name, shards.at(path).entry(name));
  }
  for (const auto& [path, shard] : shards) {
    for (const auto& [name, entry] : shard.entries_) {
      require(all.has(name) && all.entry(name).file == path,
              "{}: tensor {} is not the index's; index and shards belong to different models",
              path.string(), in_quotes(name));
    }
  }
  return all;
}

const SafetensorsEntry& Safetensors::entry(const std::string& name) const {
  const auto found = entries_.find(name);
  require(found != entries_.end(), "{}: holds no tensor {}", source_.string(), in_quotes(name));
  return found->second;
}

void Safetensors::read(const std::string& name, View into) const {
  check_contiguous(name, into);
  const SafetensorsEntry& e = entry(name);
  const std::string what = fmt::format("{}: tensor {}", e.file.string(), in_quotes(name));
  const auto wanted = into.shape().dims();
  require(std::equal(e.dims.begin(), e.dims.end(), wanted.begin(), wanted.end()),
          "{}: has shape ({}); wanted {}", what, fmt::join(e.dims, ", "), into.shape().str());
  require(e.dtype == "F32" || e.dtype == "F16" || e.dtype == "BF16",
          "{}: has dtype {}; wanted F32, F16 or BF16", what, e.dtype);
  std::ifstream in(e.file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(e.begin));
  const std::span<float> out(into.data<float>(), static_cast<std::size_t>(into.size()));
  if (e.dtype == "F32") {
    in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(e.bytes));
  } else if (e.dtype == "F16") {
    read_halves(in, out, from_f16);
  } else {
    read_halves(in, out, [](std::uint16_t bits) {
      bf16 x;
      x.bits = bits;
      return static_cast<float>(x);
    });
  }
  require(!in.fail(), "{}: cannot be read; the file changed or the disk failed", what);
}

void write_safetensors(const fs::path& path, const std::vector<NamedConstView>& tensors) {
  json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t at = 0;
  for (const auto& [name, view] : tensors) {
    check_contiguous(name, view);
    check_dtype(name, view, DType::f32);
    check(!header.contains(name), "{}: tensor {} given twice", path.string(), name);
    const auto dims = view.shape().dims();
    const std::uint64_t end = at + view.size_bytes();
    header[name] = {{"dtype", "F32"},
                    {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                    {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data is aligned when mapped
  const std::uint64_t length = text.size();

  fs::path part = path;
  part += ".tmp";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&length), kLengthBytes);
  out.write(text.data(), static_cast<std::streamsize>(length));
  for (const auto& [name, view] : tensors) {
    out.write(static_cast<const char*>(view.raw()),
              static_cast<std::streamsize>(view.size_bytes()));
  }
  out.close();
  if (out.fail()) {
    std::error_code ignored;
    fs::remove(part, ignored);
    fail("{}: cannot be written; is the disk full?", part.string());
  }
  fsync_path(part);
  fs::rename(part, path);
  fsync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

}  // namespace mixspan
