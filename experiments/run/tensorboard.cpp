#include "experiments/run/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>

#include "core/error.h"
#include "experiments/run/lease.h"

namespace mixspan {

namespace {

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1u) != 0 ? 0x82f63b78u : 0u);
    table[i] = c;
  }
  return table;
}

// TFRecord masks its CRCs, because a CRC over data that holds CRCs is weak.
std::uint32_t masked_crc(std::string_view bytes) {
  const std::uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bytes[i] = static_cast<char>((value >> (8 * i)) & 0xff);
  return bytes;
}

// Protobuf: each field is a varint of (number << 3 | wire type), then its value.
enum WireType : unsigned { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}
std::string key(unsigned number, WireType type) { return varint((number << 3) | type); }
std::string field(unsigned number, std::string_view bytes) {
  return key(number, kBytes) + varint(bytes.size()) + std::string(bytes);
}
std::string field(unsigned number, double value) {
  return key(number, kFixed64) + little_endian(std::bit_cast<std::uint64_t>(value));
}
std::string field(unsigned number, float value) {
  return key(number, kFixed32) + little_endian(std::bit_cast<std::uint32_t>(value));
}
std::string field(unsigned number, std::int64_t value) {
  return key(number, kVarint) + varint(static_cast<std::uint64_t>(value));
}

double now() {
  using namespace std::chrono;
  return duration<double>(system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads the files of a folder in the order of their names, so the time comes first. The
// number keeps apart what one process writes within one second.
std::filesystem::path new_file_name(const std::filesystem::path& folder, double time) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "{}: cannot be made: {}", folder.string(), error.message());
  for (int number = 0;; ++number) {
    const std::filesystem::path path =
        folder / fmt::format("events.out.tfevents.{:010}.{}.{}.{}", static_cast<std::int64_t>(time),
                             host_name(), ::getpid(), number);
    if (!std::filesystem::exists(path)) return path;
  }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = crc_table();
  std::uint32_t c = 0xffffffffu;
  for (const char b : bytes) c = (c >> 8) ^ kTable[(c ^ static_cast<unsigned char>(b)) & 0xffu];
  return ~c;
}

std::string tfrecord(std::string_view bytes) {
  const std::string length = little_endian<std::uint64_t>(bytes.size());
  return length + little_endian(masked_crc(length)) + std::string(bytes) +
         little_endian(masked_crc(bytes));
}

std::string version_event(double wall_time) {
  return field(1, wall_time) + field(3, std::string_view("brain.Event:2"));
}

std::string start_event(double wall_time, std::int64_t step) {
  const std::string session_log = field(1, std::int64_t{1});  // status = START
  return field(1, wall_time) + field(2, step) + field(7, session_log);
}

std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value) {
  const std::string summary_value = field(1, tag) + field(2, value);
  const std::string summary = field(1, summary_value);
  return field(1, wall_time) + field(2, step) + field(5, summary);
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, std::int64_t last_step)
    : path_(new_file_name(folder, now())), file_(path_, AppendFile::Open::make_new) {
  file_.write(tfrecord(version_event(now())));
  file_.write(tfrecord(start_event(now(), last_step + 1)));
}

void TensorBoardWriter::scalar(std::string_view tag, double value, std::int64_t step) {
  file_.write(tfrecord(scalar_event(now(), step, tag, static_cast<float>(value))));
}

void TensorBoardWriter::write(const TrainMetrics& m) {
  scalar("train/loss", m.loss, m.step);
  scalar("train/grad_norm", m.grad_norm, m.step);
  scalar("train/lr", m.lr, m.step);
  scalar("speed/tokens_per_s", m.tokens_per_s, m.step);
  if (m.mfu) scalar("speed/mfu", *m.mfu, m.step);
}

void TensorBoardWriter::write(const EvalMetrics& m) {
  scalar("eval/loss", m.loss, m.step);
  if (m.bits_per_byte) scalar("eval/bits_per_byte", *m.bits_per_byte, m.step);
  if (m.accuracy) scalar("eval/accuracy", *m.accuracy, m.step);
}

}  // namespace mixspan
