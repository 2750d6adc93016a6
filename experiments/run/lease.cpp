#include "experiments/run/lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <utility>

#include "core/durable_file.h"
#include "core/hash.h"

namespace mixspan {

namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Tells a reboot, and another machine of the same name.
std::string boot_id() {
  std::string id = text_of("/proc/sys/kernel/random/boot_id");
  return id.substr(0, id.find('\n'));
}

// When a process began, in clock ticks since boot, or "" when none of that number runs. With it, a
// number that was given again to another process is not taken for the old one.
std::string process_start(std::int64_t pid) {
  const std::string stat = text_of(fmt::format("/proc/{}/stat", pid));
  const std::size_t name_end = stat.rfind(')');  // a name may hold blanks and parentheses
  if (name_end == std::string::npos) return {};
  std::istringstream fields(stat.substr(name_end + 1));
  std::string state, field;
  fields >> state;
  for (int number = 4; number <= 22; ++number) fields >> field;
  return state == "Z" || state == "X" ? "" : field;  // dead, and its parent has not noticed yet
}

struct Holder {
  std::string host, boot, process_start, job_id, token;
  std::int64_t pid = 0, restarts = 0, taken = 0;
};

// Only one process at a time looks for a holder and takes the lease. Where the file system has no
// locks, the later of two racing processes wins, and the other one finds out by check().
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder)
      : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ >= 0) ::flock(fd_, LOCK_EX);
  }
  ~FolderLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_;
};

Holder parse_holder(const std::string& text, const std::filesystem::path& file) {
  try {
    const auto json = nlohmann::json::parse(text);
    Holder h;
    json.at("host").get_to(h.host);
    json.at("boot").get_to(h.boot);
    json.at("pid").get_to(h.pid);
    json.at("process_start").get_to(h.process_start);
    json.at("job_id").get_to(h.job_id);
    json.at("restarts").get_to(h.restarts);
    json.at("taken").get_to(h.taken);
    json.at("token").get_to(h.token);
    return h;
  } catch (const nlohmann::json::exception&) {
    refuse(
        "{}: is damaged, so it cannot say whether another process writes here; if none does, "
        "remove it",
        file.string());
  }
}

Holder read_holder(const std::filesystem::path& file) { return parse_holder(text_of(file), file); }

bool is_alive_here(const Holder& h) {
  return h.host == host_name() && h.boot == boot_id() && h.pid > 0 && !h.process_start.empty() &&
         process_start(h.pid) == h.process_start;
}

void write_holder(const std::filesystem::path& file, const Holder& h) {
  const nlohmann::ordered_json json{{"host", h.host},     {"boot", h.boot},
                                    {"pid", h.pid},       {"process_start", h.process_start},
                                    {"job_id", h.job_id}, {"restarts", h.restarts},
                                    {"taken", h.taken},   {"token", h.token}};
  replace_file(file, json.dump(2) + "\n");
}

}  // namespace

std::optional<LeaseHolder> lease_holder(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "lease.json";
  const std::string text = text_of(file);
  if (text.empty()) return {};
  const Holder h = parse_holder(text, file);
  return LeaseHolder{h.host, h.job_id, h.pid, is_alive_here(h)};
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string job_id() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  const std::string array = variable("SLURM_ARRAY_JOB_ID");
  if (!array.empty()) return array + "_" + variable("SLURM_ARRAY_TASK_ID");
  return variable("SLURM_JOB_ID");
}

Lease::Lease(std::filesystem::path file, std::string token)
    : file_(std::move(file)), token_(std::move(token)) {}

Lease Lease::take(const std::filesystem::path& folder, std::int64_t restarts) {
  const FolderLock lock(folder);
  const std::filesystem::path file = folder / "lease.json";
  if (std::filesystem::exists(file)) {
    const Holder holder = read_holder(file);
    require(!is_alive_here(holder),
            "{}: process {} on this host is writing this run; wait for it, stop it, or give "
            "another --run-dir",
            folder.string(), holder.pid);
  }
  std::random_device random;
  const std::uint64_t token = (std::uint64_t{random()} << 32) | random();
  const auto taken = std::chrono::system_clock::now().time_since_epoch();
  Holder self{.host = host_name(),
              .boot = boot_id(),
              .process_start = process_start(::getpid()),
              .job_id = job_id(),
              .token = to_hex(token),
              .pid = ::getpid(),
              .restarts = restarts,
              .taken = std::chrono::duration_cast<std::chrono::seconds>(taken).count()};
  write_holder(file, self);
  return Lease(file, self.token);
}

Lease::Lease(Lease&& other) noexcept
    : file_(std::move(other.file_)), token_(std::exchange(other.token_, {})) {}

Lease::~Lease() {
  if (token_.empty()) return;
  try {
    check();
    std::filesystem::remove(file_);
  } catch (const std::exception&) {  // it is another's now, or cannot be removed: then it stays
  }
}

void Lease::check() const {
  Holder holder;
  try {
    holder = read_holder(file_);
  } catch (const InputError&) {
    throw LeaseLost(fmt::format(
        "{}: is gone or damaged; another process may have taken this run over", file_.string()));
  }
  if (holder.token == token_) return;
  throw LeaseLost(fmt::format("{}: process {} on {} has taken this run over{}", file_.string(),
                              holder.pid, holder.host,
                              holder.job_id.empty() ? "" : " (job " + holder.job_id + ")"));
}

}  // namespace mixspan
