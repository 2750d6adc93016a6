#include "data/byte_reader.h"

#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filtering_streambuf.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/error.h"

namespace mixspan {

namespace io = boost::iostreams;

struct ByteReader::State {
  explicit State(std::filesystem::path p)
      : path(std::move(p)), file(path, std::ios::binary), packed(path.extension() == ".gz") {
    require(file.is_open(), "{}: cannot be opened: {}", path.string(), std::strerror(errno));
    if (packed) {
      require(file.peek() != std::ifstream::traits_type::eof(), "{}: the file is empty",
              path.string());
      unpacked.push(io::gzip_decompressor(io::gzip::default_window_bits, 1 << 16));
      unpacked.push(file);
    }
  }
  const std::filesystem::path path;
  std::ifstream file;
  const bool packed;
  io::filtering_streambuf<io::input> unpacked;
  std::int64_t position = 0;
};

ByteReader::ByteReader(std::filesystem::path path)
    : state_(std::make_unique<State>(std::move(path))) {}
ByteReader::~ByteReader() = default;

bool ByteReader::read(std::string& out, std::size_t bytes) try {
  State& s = *state_;
  const std::size_t old = out.size();
  out.resize(old + bytes);
  std::streambuf& from = s.packed ? static_cast<std::streambuf&>(s.unpacked) : *s.file.rdbuf();
  const auto wanted = static_cast<std::streamsize>(bytes);
  const std::streamsize got = from.sgetn(out.data() + old, wanted);
  out.resize(old + static_cast<std::size_t>(got));
  const auto at = s.file.rdbuf()->pubseekoff(0, std::ios::cur, std::ios::in);
  if (at >= 0) s.position = at;
  return got == wanted;
} catch (const io::gzip_error& e) {
  refuse("{}: damaged or truncated gzip data ({})", state_->path.string(), e.what());
} catch (const std::ios_base::failure& e) {
  refuse("{}: cannot be read to its end ({})", state_->path.string(), e.what());
}

std::int64_t ByteReader::position() const { return state_->position; }

}  // namespace mixspan
