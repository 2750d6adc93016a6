#include "parallel/nccl.h"

#include <dlfcn.h>

#include <exception>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr int kBytes = 1;  // ncclUint8
constexpr int kOldest = 22200;

// By the name that the dynamic linker knows, then where CUDA's installer puts it.
void* open_library() {
  std::string reasons;
  for (const char* name : {"libnccl.so.2", "/usr/local/cuda/lib64/libnccl.so.2"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", dlerror());
  }
  fail("no NCCL (put the folder of libnccl.so.2 into LD_LIBRARY_PATH): {}", reasons);
}

template <class Function>
void find(void* library, Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  check(function != nullptr, "{}: {}", name, dlerror());
}

}  // namespace

void NcclFunctions::check(int status, std::source_location where) const {
  mixspan::check(status == 0, "{}:{}: NCCL says: {}", where.file_name(), where.line(),
                 status == 0 ? "" : GetErrorString(status));
}

NcclFunctions open_nccl() {
  void* const library = open_library();
  NcclFunctions f{};
  find(library, f.GetVersion, "ncclGetVersion");
  find(library, f.GetUniqueId, "ncclGetUniqueId");
  find(library, f.CommInitRank, "ncclCommInitRank");
  find(library, f.CommDestroy, "ncclCommDestroy");
  find(library, f.CommAbort, "ncclCommAbort");
  find(library, f.GroupStart, "ncclGroupStart");
  find(library, f.GroupEnd, "ncclGroupEnd");
  find(library, f.Send, "ncclSend");
  find(library, f.Recv, "ncclRecv");
  find(library, f.GetErrorString, "ncclGetErrorString");
  int version = 0;
  f.check(f.GetVersion(&version));
  check(version >= kOldest, "NCCL {}.{} is too old: wanted 2.22 or newer", version / 10000,
        version / 100 % 100);
  return f;
}

std::string why_no_nccl() {
  try {
    open_nccl();
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

NcclGroup::NcclGroup(const NcclFunctions& nccl, NcclId id, int rank, int ranks) : nccl_(nccl) {
  nccl_.check(nccl_.CommInitRank(&comm_, ranks, id, rank));
}

NcclGroup::~NcclGroup() {
  if (comm_ == nullptr) return;
  if (std::uncaught_exceptions() > 0) {
    abort();
  } else {
    nccl_.CommDestroy(comm_);
  }
}

void NcclGroup::launch(Stream stream) {
  check(comm_ != nullptr || messages_.empty(), "NCCL was told to end what it does");
  bool any = false;
  for (const Message& m : messages_) any = any || m.bytes > 0;
  if (any) {
    nccl_.check(nccl_.GroupStart());
    int status = 0;
    for (const Message& m : messages_) {
      if (m.bytes == 0 || status != 0) continue;
      status = m.incoming ? nccl_.Recv(m.data, m.bytes, kBytes, m.peer, comm_, stream.handle())
                          : nccl_.Send(m.data, m.bytes, kBytes, m.peer, comm_, stream.handle());
    }
    // Also after a failure: what came next, an abort say, would be kept for later in an open group.
    const int end = nccl_.GroupEnd();
    nccl_.check(status != 0 ? status : end);
  }
  messages_.clear();
}

void NcclGroup::abort(std::span<const std::shared_ptr<NcclGroup>> groups) {
  if (groups.empty()) return;
  const NcclFunctions& nccl = groups.front()->nccl_;
  nccl.GroupStart();
  for (const std::shared_ptr<NcclGroup>& group : groups) group->abort();
  nccl.GroupEnd();
}

void NcclGroup::abort() {
  if (comm_ != nullptr) nccl_.CommAbort(comm_);
  comm_ = nullptr;
}

}  // namespace mixspan
