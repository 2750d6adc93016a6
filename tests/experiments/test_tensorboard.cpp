#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "experiments/run/tensorboard.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace std::string_literals;

template <class T>
T number_at(const std::string& bytes, std::size_t at) {
  T value;  // the tests, as the program, run on little-endian machines
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t masked(std::uint32_t c) { return std::rotr(c, 15) + 0xa282ead8u; }

// The contents of a TFRecord file; every length and checksum is checked on the way.
std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto length = number_at<std::uint64_t>(file, at);
    EXPECT_EQ(number_at<std::uint32_t>(file, at + 8), masked(crc32c(file.substr(at, 8))));
    records.push_back(file.substr(at + 12, length));
    EXPECT_EQ(number_at<std::uint32_t>(file, at + 12 + length), masked(crc32c(records.back())));
    at += 16 + length;
  }
  return records;
}

TEST(TensorBoard, CrcHasTheCheckValues) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  // RFC 3720 B.4: 32 bytes of zeros, and of ones.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
}

TEST(TensorBoard, RecordFramesItsBytes) {
  const std::string record = tfrecord("123456789");
  ASSERT_EQ(record.size(), 8u + 4 + 9 + 4);
  EXPECT_EQ(number_at<std::uint64_t>(record, 0), 9u);
  EXPECT_EQ(record.substr(12, 9), "123456789");
  // rotr(e3069283, 15) = 2507c60d by hand; plus a282ead8.
  EXPECT_EQ(number_at<std::uint32_t>(record, 21), 0x2507c60du + 0xa282ead8u);
}

TEST(TensorBoard, ScalarEventFieldByField) {
  // 1.5 = 3ff8000000000000 as f64; 2.0f = 40000000; step 300 = 0b10'0101100 as varint ac 02.
  EXPECT_EQ(scalar_event(1.5, 300, "loss", 2.0f),
            "\x09\0\0\0\0\0\0\xf8\x3f"s  // 1: wall_time, fixed64
            "\x10\xac\x02"s              // 2: step, varint
            "\x2a\x0d"s                  // 5: summary, 13 bytes
            "\x0a\x0b"s                  //   1: value, 11 bytes
            "\x0a\x04loss"s              //     1: tag
            "\x15\0\0\0\x40"s);          //     2: simple_value, fixed32
}

TEST(TensorBoard, VersionAndStartEventFieldByField) {
  EXPECT_EQ(version_event(1.5), "\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0d"s + "brain.Event:2");
  EXPECT_EQ(start_event(1.5, 5), "\x09\0\0\0\0\0\0\xf8\x3f\x10\x05\x3a\x02\x08\x01"s);
}

TEST(TensorBoard, WriterMakesOneFileARun) {
  const test::ScratchFolder folder;
  std::filesystem::path first;
  {
    TensorBoardWriter writer(folder / "tensorboard", -1);
    first = writer.path();
    writer.scalar("train/loss", 2.5, 1);
    writer.scalar("train/loss", 2.25, 2);
  }
  TensorBoardWriter resumed(folder / "tensorboard", 1);
  EXPECT_NE(resumed.path(), first);
  EXPECT_LT(first, resumed.path());  // read in the order of their names
  EXPECT_TRUE(first.filename().string().starts_with("events.out.tfevents."));

  const std::vector<std::string> records = records_of(test::read_file(first));
  ASSERT_EQ(records.size(), 4u);
  // Without the nine bytes of wall time.
  EXPECT_EQ(records[0].substr(9), version_event(0).substr(9));
  EXPECT_EQ(records[1].substr(9), start_event(0, 0).substr(9));
  EXPECT_EQ(records[2].substr(9), scalar_event(0, 1, "train/loss", 2.5f).substr(9));
  EXPECT_EQ(records[3].substr(9), scalar_event(0, 2, "train/loss", 2.25f).substr(9));
  EXPECT_EQ(records_of(test::read_file(resumed.path()))[1].substr(9), start_event(0, 2).substr(9));
}

}  // namespace
}  // namespace mixspan
