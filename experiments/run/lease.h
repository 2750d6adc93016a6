// Who is writing in a run directory. A newer lease stops an older writer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"

namespace mixspan {

/// Somebody else writes here now; main() exits 76.
class LeaseLost : public Error {
 public:
  using Error::Error;
};

/// Holds DIR/lease.json. A batch system may start a job again while its old process lives on, cut
/// off on another node: the old one must notice before it publishes anything.
class Lease {
 public:
  /// Takes the lease. Refuses when its holder is a live process of this host; takes it over from a
  /// dead one and from any other host, which will find out by check().
  static Lease take(const std::filesystem::path& folder, std::int64_t restarts);
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&&) = delete;
  ~Lease();  ///< removes the file while it is still ours

  /// Throws LeaseLost unless the file still names this holder.
  void check() const;
  const std::string& token() const { return token_; }

 private:
  Lease(std::filesystem::path file, std::string token);
  std::filesystem::path file_;
  std::string token_;  // random; empty once moved from
};

/// Who a lease names.
struct LeaseHolder {
  std::string host, job_id;
  std::int64_t pid = 0;
  bool alive_here = false;  ///< a live process of this host
};
/// Of DIR/lease.json; empty where there is none. Throws InputError where it is damaged.
std::optional<LeaseHolder> lease_holder(const std::filesystem::path& folder);

std::string host_name();
/// The batch system's job (SLURM_JOB_ID, with _TASK for an array), or "".
std::string job_id();

}  // namespace mixspan
