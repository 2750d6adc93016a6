// NCCL, opened when it is first needed, so that a program starts where it is not: the few functions
// that are used, as nccl.h declares them, which a build does not need.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/stream.h"

namespace mixspan {

/// ncclUniqueId: made by one rank of a communicator, known to all.
struct NcclId {
  std::array<char, 128> bytes;
};
static_assert(std::is_trivially_copyable_v<NcclId> && sizeof(NcclId) == 128);

/// The functions by their names without the prefix. Status 0 is success.
struct NcclFunctions {
  int (*GetVersion)(int* version);
  int (*GetUniqueId)(NcclId* id);
  int (*CommInitRank)(void** comm, int ranks, NcclId id, int rank);
  int (*CommDestroy)(void* comm);
  int (*CommAbort)(void* comm);
  int (*GroupStart)();
  int (*GroupEnd)();
  int (*Send)(const void* data, std::size_t count, int type, int peer, void* comm, void* stream);
  int (*Recv)(void* data, std::size_t count, int type, int peer, void* comm, void* stream);
  const char* (*GetErrorString)(int status);

  /// Throws Error with the place of the call and NCCL's text of the status.
  void check(int status, std::source_location where = std::source_location::current()) const;
};

/// From libnccl.so.2, found by LD_LIBRARY_PATH or where CUDA's installer puts it. Throws Error that
/// names the places looked at, or that it is older than 2.22, the first that can end several
/// communicators together. It stays open until the program ends.
NcclFunctions open_nccl();
/// Why open_nccl() throws; empty where it does not.
std::string why_no_nccl();

/// NCCL's communicator of one group, and the messages that it is about to move. Used by one thread.
class NcclGroup {
 public:
  /// All ranks of the group at once; the calling thread's device is the rank's.
  NcclGroup(const NcclFunctions& nccl, NcclId id, int rank, int ranks);
  /// While an exception passes, or after abort(), without waiting for the other ranks.
  ~NcclGroup();
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  /// Peers are ranks of the group; sizes in bytes.
  void send(int peer, std::span<const std::byte> data) {
    messages_.push_back({peer, false, const_cast<std::byte*>(data.data()), data.size()});
  }
  void receive(int peer, std::span<std::byte> data) {
    messages_.push_back({peer, true, data.data(), data.size()});
  }
  /// Gives the messages since the last call to the stream, as one that is done when all are.
  void launch(Stream stream);
  /// Ends what waits on the device for other ranks; nothing is possible afterwards.
  void abort();
  /// The same of several. Together, because to end one may wait for all that its device does, and
  /// so for another's messages (github.com/NVIDIA/nccl/issues/1013).
  static void abort(std::span<const std::shared_ptr<NcclGroup>> groups);

 private:
  struct Message {
    int peer;
    bool incoming;
    std::byte* data;
    std::size_t bytes;
  };
  NcclFunctions nccl_;
  void* comm_ = nullptr;
  std::vector<Message> messages_;
};

}  // namespace mixspan
