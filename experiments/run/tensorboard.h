// TensorBoard event files: TFRecord frames around hand-made protobuf messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "experiments/run/append_file.h"
#include "experiments/run/metrics.h"

namespace mixspan {

/// CRC-32C (Castagnoli), as in RFC 3720 B.4.
std::uint32_t crc32c(std::string_view bytes);

/// One record of a TFRecord file: u64 length, masked CRC of it, the bytes, masked CRC of them.
std::string tfrecord(std::string_view bytes);

/// Serialised tensorflow.Event messages (tensorflow/core/util/event.proto).
std::string version_event(double wall_time);
/// Says that the run starts (again) with `step`: a reader forgets what it has of it and later ones.
std::string start_event(double wall_time, std::int64_t step);
std::string scalar_event(double wall_time, std::int64_t step, std::string_view tag, float value);

/// One event file, made anew in `folder`, because a resumed run must not write into the old one.
class TensorBoardWriter {
 public:
  /// `last_step` as for MetricsWriter.
  TensorBoardWriter(const std::filesystem::path& folder, std::int64_t last_step);
  void scalar(std::string_view tag, double value, std::int64_t step);
  void write(const TrainMetrics&);
  void write(const EvalMetrics&);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  AppendFile file_;
};

}  // namespace mixspan
