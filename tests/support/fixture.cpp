#include "tests/support/fixture.h"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "core/rng.h"

namespace mixspan::test {

Tensor random_tensor(Shape shape, std::uint64_t seed, double scale, DType dtype) {
  Tensor t(shape, dtype);
  const RandomStream stream(seed, "test");
  dispatch<float, double>("random_tensor", dtype, [&]<class T>() {
    for (std::int64_t i = 0; i < t.size(); ++i) {
      t.data<T>()[i] = static_cast<T>(stream.normal(static_cast<std::uint64_t>(i)) * scale);
    }
  });
  return t;
}

Tensor poisoned_tensor(Shape shape, DType dtype) {
  Tensor t(shape, dtype);
  std::memset(t.view().raw(), 0xff, t.view().size_bytes());
  return t;
}

Tensor to_f64(const ConstView& v) {
  check_contiguous("to_f64", v);
  Tensor t(v.shape(), DType::f64);
  for (std::int64_t i = 0; i < v.size(); ++i) t.data<double>()[i] = v.data<float>()[i];
  return t;
}

Tensor copy_of(const ConstView& v) {
  check_contiguous("copy_of", v);
  Tensor t(v.shape(), v.dtype());
  std::memcpy(t.view().raw(), v.raw(), v.size_bytes());
  return t;
}

std::filesystem::path memory_folder() {
  const std::filesystem::path memory = "/dev/shm";
  return ::access(memory.c_str(), W_OK | X_OK) == 0 ? memory
                                                    : std::filesystem::temp_directory_path();
}

ScratchFolder::ScratchFolder(const std::filesystem::path& parent) {
  std::string pattern = (parent / "mixspan-test-XXXXXX").string();
  check(::mkdtemp(pattern.data()) != nullptr, "could not make a folder like {}", pattern);
  path_ = pattern;
}
ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_file(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const InputError& e) {
    return e.what();
  }
  return "(nothing was refused)";
}

}  // namespace mixspan::test
