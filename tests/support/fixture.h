// What most tests need: an Exec with its own arena, random tensors, a scratch folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::test {

/// An Exec for CPU tests. The scratch arena is poisoned: reading what was not written gives NaN.
struct TestExec {
  explicit TestExec(int threads = 2) : pool(threads), arena("test scratch") { arena.poison(true); }
  operator Exec() { return exec(); }  // NOLINT
  Exec exec() { return Exec{.device = {}, .threads = pool, .scratch = arena}; }

  ThreadPool pool;
  Arena arena;
};

inline Exec with_isa(TestExec& test, Isa isa) {
  Exec exec = test.exec();
  exec.isa = isa;
  return exec;
}

/// Normal numbers times `scale`, a pure function of (seed, index).
Tensor random_tensor(Shape shape, std::uint64_t seed, double scale = 1.0, DType dtype = DType::f32);
/// Every element a NaN, so that an output that is not fully overwritten shows.
Tensor poisoned_tensor(Shape shape, DType dtype = DType::f32);
Tensor to_f64(const ConstView& v);
Tensor copy_of(const ConstView& v);

/// /dev/shm where it can be used, else the temporary folder: for tests that fsync hundreds of
/// times.
std::filesystem::path memory_folder();

/// A fresh folder under the system's temporary folder, removed with all it holds.
class ScratchFolder {
 public:
  explicit ScratchFolder(
      const std::filesystem::path& parent = std::filesystem::temp_directory_path());
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& content);
/// The message of the InputError that body() throws; a failure note if it throws none.
std::string refusal(const std::function<void()>& body);

}  // namespace mixspan::test
