#include "core/h5.h"

#include <hdf5.h>

#include <algorithm>
#include <mutex>

#include "core/durable_file.h"

namespace mixspan {

namespace {

// Debian's parallel HDF5 is not thread-safe, and its state belongs to the process, so the lock does
// too.
std::recursive_mutex& library_lock() {
  static std::recursive_mutex mutex;
  // After a write that failed, as on a full disk, the library keeps the file open and crashes when
  // it flushes it at the end of the process. Every file here is closed by its owner instead.
  static const herr_t no_flush_at_exit = H5dont_atexit();
  static_cast<void>(no_flush_at_exit);
  return mutex;
}
using Lock = std::lock_guard<std::recursive_mutex>;

// 1 MiB chunks: large enough for full write speed, small enough that one read touches little.
constexpr hsize_t kChunkBytes = 1 << 20;

// The innermost message, in one line: of "... errno = 28, error message = 'No space left on
// device', ..." only what the system said.
std::string first_hdf5_error() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* e, void* out) -> herr_t {
        auto& s = *static_cast<std::string*>(out);
        if (s.empty() && e->desc != nullptr) s = e->desc;
        return 0;
      },
      &text);
  constexpr std::string_view kSystem = "error message = '";
  const std::size_t begin = text.find(kSystem);
  if (begin != std::string::npos) {
    text.erase(0, begin + kSystem.size());
    text.resize(std::min(text.find('\''), text.size()));
  }
  text.resize(std::min(text.find('\n'), text.size()));
  return text.empty() ? "unknown HDF5 error" : text;
}

// An HDF5 handle that closes itself.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  operator hid_t() const { return id_; }  // NOLINT

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

void check_ok(std::int64_t status, const std::filesystem::path& path, std::string_view what,
              bool reading) {
  if (status >= 0) return;
  const std::string message = fmt::format("{}: {}: {}", path.string(), what, first_hdf5_error());
  if (reading) throw InputError(message + "; the file is damaged or of another kind");
  throw Error(message);
}

hid_t native_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return H5T_NATIVE_FLOAT;
    case DType::f64:
      return H5T_NATIVE_DOUBLE;
    case DType::i64:
      return H5T_NATIVE_INT64;
    case DType::i32:
      return H5T_NATIVE_INT32;
    case DType::bf16:
    case DType::u16:
      return H5T_NATIVE_UINT16;
    case DType::u8:
      return H5T_NATIVE_UINT8;
  }
  return -1;
}

std::vector<hsize_t> dims_of(const Shape& shape) {
  std::vector<hsize_t> dims;
  for (std::int64_t d : shape.dims()) dims.push_back(static_cast<hsize_t>(d));
  if (dims.empty()) dims.push_back(1);
  return dims;
}

// Chunks of whole trailing dims, about kChunkBytes each.
std::vector<hsize_t> chunk_of(std::vector<hsize_t> dims, std::size_t width) {
  hsize_t bytes = width;
  for (std::size_t d = dims.size(); d-- > 0;) {
    const hsize_t fit = std::max<hsize_t>(1, kChunkBytes / bytes);
    dims[d] = std::clamp<hsize_t>(fit, 1, std::max<hsize_t>(1, dims[d]));
    bytes *= dims[d];
  }
  return dims;
}

// Without times, equal contents give equal files. The library's own making of parent groups cannot
// be told so, so each prefix is made by hand.
void make_groups(hid_t file, const std::string& name) {
  const Handle make(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  H5Pset_obj_track_times(make, false);
  for (std::size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
    const std::string group = name.substr(0, at);
    if (group.empty() || H5Lexists(file, group.c_str(), H5P_DEFAULT) > 0) continue;
    const Handle made(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, make, H5P_DEFAULT), H5Gclose);
  }
}

hid_t make_dataset(hid_t file, const std::string& name, DType dtype,
                   const std::vector<hsize_t>& dims, bool extendable) {
  const std::vector<hsize_t> limit(dims.size(), H5S_UNLIMITED);
  const Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(),
                                      extendable ? limit.data() : nullptr),
                     H5Sclose);
  const Handle make(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  make_groups(file, name);
  std::vector<hsize_t> chunk = chunk_of(dims, size_of(dtype));
  if (extendable) chunk = {kChunkBytes / size_of(dtype)};
  H5Pset_chunk(make, static_cast<int>(chunk.size()), chunk.data());
  H5Pset_fletcher32(make);
  H5Pset_obj_track_times(make, false);
  H5Pset_fill_time(make, H5D_FILL_TIME_NEVER);
  return H5Dcreate2(file, name.c_str(), native_type(dtype), space, H5P_DEFAULT, make, H5P_DEFAULT);
}

}  // namespace

H5File::H5File(std::filesystem::path path, std::int64_t id, bool writable)
    : path_(std::move(path)), id_(id), writable_(writable) {}

H5File::H5File(H5File&& other) noexcept
    : path_(std::move(other.path_)), id_(other.id_), writable_(other.writable_) {
  other.id_ = -1;
}

H5File::~H5File() {
  const Lock lock(library_lock());
  if (id_ >= 0) H5Fclose(id_);
}

H5File H5File::create(const std::filesystem::path& path) {
  const Lock lock(library_lock());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are reported through ours
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // The 1.10 format checksums its metadata; the older one reads flipped bits as wrong numbers.
  H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
  const Handle make(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  H5Pset_obj_track_times(make, false);
  const hid_t id = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, make, access);
  check_ok(id, path, "cannot be created", false);
  return H5File(path, id, true);
}

H5File H5File::open(const std::filesystem::path& path) {
  const Lock lock(library_lock());
  std::error_code error;
  require(std::filesystem::is_regular_file(path, error), "{}: no such file", path.string());
  require(std::filesystem::file_size(path, error) > 0, "{}: the file is empty", path.string());
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  check_ok(id, path, "cannot be opened as HDF5", true);
  return H5File(path, id, false);
}

void H5File::close() {
  const Lock lock(library_lock());
  if (id_ < 0) return;
  if (writable_) check_ok(H5Fflush(id_, H5F_SCOPE_GLOBAL), path_, "cannot be flushed", false);
  const herr_t status = H5Fclose(id_);
  id_ = -1;
  check_ok(status, path_, "cannot be closed", !writable_);
  // H5Fflush only hands the bytes to the kernel; the fsync makes them survive a crash.
  if (writable_) fsync_path(path_);
}

void H5File::write(const std::string& name, const ConstView& data) {
  const Lock lock(library_lock());
  check_contiguous(name, data);
  const Handle set(make_dataset(id_, name, data.dtype(), dims_of(data.shape()), false), H5Dclose);
  check_ok(set, path_, "cannot make " + name, false);
  check_ok(H5Dwrite(set, native_type(data.dtype()), H5S_ALL, H5S_ALL, H5P_DEFAULT, data.raw()),
           path_, "cannot write " + name, false);
}

void H5File::write_text(const std::string& name, std::string_view text) {
  write(name, ConstView(text.data(), DType::u8, Shape{static_cast<std::int64_t>(text.size())}));
}

void H5File::append(const std::string& name, const ConstView& data) {
  const Lock lock(library_lock());
  check_contiguous(name, data);
  const std::int64_t old = has(name) ? shape(name)[0] : 0;
  const Handle set(has(name) ? H5Dopen2(id_, name.c_str(), H5P_DEFAULT)
                             : make_dataset(id_, name, data.dtype(), {0}, true),
                   H5Dclose);
  check_ok(set, path_, "cannot make " + name, false);
  const hsize_t begin = static_cast<hsize_t>(old), count = static_cast<hsize_t>(data.size());
  const hsize_t size = begin + count;
  check_ok(H5Dset_extent(set, &size), path_, "cannot extend " + name, false);
  if (count == 0) return;
  const Handle in_file(H5Dget_space(set), H5Sclose);
  const Handle in_memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &begin, nullptr, &count, nullptr);
  check_ok(H5Dwrite(set, native_type(data.dtype()), in_memory, in_file, H5P_DEFAULT, data.raw()),
           path_, "cannot append to " + name, false);
}

void H5File::set_attribute(const std::string& name, std::int64_t value) {
  const Lock lock(library_lock());
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle a(H5Acreate2(id_, name.c_str(), H5T_NATIVE_INT64, space, H5P_DEFAULT, H5P_DEFAULT),
                 H5Aclose);
  check_ok(a, path_, "cannot make attribute " + name, false);
  check_ok(H5Awrite(a, H5T_NATIVE_INT64, &value), path_, "cannot write attribute " + name, false);
}

void H5File::set_attribute(const std::string& name, const std::string& value) {
  const Lock lock(library_lock());
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, value.size() + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const Handle a(H5Acreate2(id_, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  check_ok(a, path_, "cannot make attribute " + name, false);
  check_ok(H5Awrite(a, type, value.c_str()), path_, "cannot write attribute " + name, false);
}

bool H5File::has(const std::string& name) const {
  const Lock lock(library_lock());
  // H5Lexists wants every parent to exist, so each prefix is asked for in turn.
  for (std::size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) {
    if (at > 0 && H5Lexists(id_, name.substr(0, at).c_str(), H5P_DEFAULT) <= 0) return false;
  }
  return H5Lexists(id_, name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> H5File::names() const {
  const Lock lock(library_lock());
  std::vector<std::string> found;
  const herr_t status = H5Ovisit2(
      id_, H5_INDEX_NAME, H5_ITER_INC,
      [](hid_t, const char* name, const H5O_info_t* info, void* out) -> herr_t {
        if (info->type == H5O_TYPE_DATASET) {
          static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        }
        return 0;
      },
      &found, H5O_INFO_BASIC);
  check_ok(status, path_, "cannot be listed", true);
  std::sort(found.begin(), found.end());
  return found;
}

Shape H5File::shape(const std::string& name) const {
  const Lock lock(library_lock());
  require(has(name), "{}: holds no '{}'", path_.string(), name);
  const Handle set(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose);
  check_ok(set, path_, "cannot open " + name, true);
  const Handle space(H5Dget_space(set), H5Sclose);
  const int rank = H5Sget_simple_extent_ndims(space);
  require(rank >= 1 && rank <= Shape::kMaxRank, "{}: '{}' has {} dims", path_.string(), name, rank);
  hsize_t dims[Shape::kMaxRank];
  H5Sget_simple_extent_dims(space, dims, nullptr);
  std::vector<std::int64_t> sizes(dims, dims + rank);
  return Shape(std::span<const std::int64_t>(sizes));
}

DType H5File::dtype(const std::string& name) const {
  const Lock lock(library_lock());
  require(has(name), "{}: holds no '{}'", path_.string(), name);
  const Handle set(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose);
  check_ok(set, path_, "cannot open " + name, true);
  const Handle type(H5Dget_type(set), H5Tclose);
  for (DType d : {DType::f32, DType::f64, DType::i64, DType::i32, DType::u16, DType::u8}) {
    if (H5Tequal(type, native_type(d)) > 0) return d;
  }
  refuse("{}: '{}' has an element type that is not used here", path_.string(), name);
}

void H5File::read(const std::string& name, View into) const {
  const Lock lock(library_lock());
  check_contiguous(name, into);
  const Shape held = shape(name);
  require(held == (into.shape().rank() == 0 ? Shape{1} : into.shape()),
          "{}: '{}' has shape {}; wanted {}", path_.string(), name, held.str(), into.shape().str());
  const DType type = dtype(name);
  require(native_type(type) == native_type(into.dtype()), "{}: '{}' holds {}; wanted {}",
          path_.string(), name, name_of(type), name_of(into.dtype()));
  const Handle set(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose);
  check_ok(H5Dread(set, native_type(into.dtype()), H5S_ALL, H5S_ALL, H5P_DEFAULT, into.raw()),
           path_, "cannot read " + name, true);
}

void H5File::read_range(const std::string& name, std::int64_t begin, View into) const {
  const Lock lock(library_lock());
  const Shape held = shape(name);
  require(held.rank() == 1, "{}: '{}' has shape {}; wanted one dim", path_.string(), name,
          held.str());
  check(begin >= 0 && begin + into.size() <= held[0],
        "{}: elements [{}, {}) of '{}' with {} asked for", path_.string(), begin,
        begin + into.size(), name, held[0]);
  if (into.size() == 0) return;
  const Handle set(H5Dopen2(id_, name.c_str(), H5P_DEFAULT), H5Dclose);
  const Handle in_file(H5Dget_space(set), H5Sclose);
  const hsize_t offset = static_cast<hsize_t>(begin), count = static_cast<hsize_t>(into.size());
  const Handle in_memory(H5Screate_simple(1, &count, nullptr), H5Sclose);
  H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &offset, nullptr, &count, nullptr);
  check_ok(H5Dread(set, native_type(into.dtype()), in_memory, in_file, H5P_DEFAULT, into.raw()),
           path_, "cannot read " + name, true);
}

std::string H5File::read_text(const std::string& name) const {
  std::string text(static_cast<std::size_t>(shape(name).size()), '\0');
  read(name, View(text.data(), DType::u8, Shape{static_cast<std::int64_t>(text.size())}));
  return text;
}

bool H5File::has_attribute(const std::string& name) const {
  const Lock lock(library_lock());
  return H5Aexists(id_, name.c_str()) > 0;
}

std::int64_t H5File::int_attribute(const std::string& name) const {
  const Lock lock(library_lock());
  require(has_attribute(name), "{}: has no attribute '{}'", path_.string(), name);
  const Handle a(H5Aopen(id_, name.c_str(), H5P_DEFAULT), H5Aclose);
  std::int64_t value = 0;
  check_ok(H5Aread(a, H5T_NATIVE_INT64, &value), path_, "cannot read attribute " + name, true);
  return value;
}

std::string H5File::text_attribute(const std::string& name) const {
  const Lock lock(library_lock());
  require(has_attribute(name), "{}: has no attribute '{}'", path_.string(), name);
  const Handle a(H5Aopen(id_, name.c_str(), H5P_DEFAULT), H5Aclose);
  const Handle type(H5Aget_type(a), H5Tclose);
  require(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0,
          "{}: attribute '{}' is not a text", path_.string(), name);
  std::string value(H5Tget_size(type), '\0');
  check_ok(H5Aread(a, type, value.data()), path_, "cannot read attribute " + name, true);
  value.resize(std::min(value.find('\0'), value.size()));
  return value;
}

}  // namespace mixspan
