#include "tests/emulation/fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mixspan::emulation {

namespace {

std::size_t page() { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

// AddressSanitizer must know which stack is in use.
void before_switch([[maybe_unused]] FiberContext& from, [[maybe_unused]] FiberContext& to,
                   [[maybe_unused]] bool last) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.stack_bottom,
                                 to.stack_bytes);
#endif
}
void after_switch([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void first_frame(void* context) {
  auto* fiber = static_cast<FiberContext*>(context);
  after_switch(nullptr);
  fiber->entry(fiber->argument);
  std::abort();  // entry must not return
}

}  // namespace

FiberStack::FiberStack(std::size_t bytes) : bytes_(bytes) {
  void* p = ::mmap(nullptr, bytes + page(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(p != MAP_FAILED, "no memory for a fiber's stack");
  ::mprotect(p, page(), PROT_NONE);
  bottom_ = static_cast<std::byte*>(p) + page();
}

FiberStack::~FiberStack() {
  if (bottom_ != nullptr) ::munmap(static_cast<std::byte*>(bottom_) - page(), bytes_ + page());
}

FiberStack::FiberStack(FiberStack&& other) noexcept
    : bottom_(std::exchange(other.bottom_, nullptr)), bytes_(other.bytes_) {}

void FiberStack::forget_frames() const {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(bottom_, bytes_);
#endif
}

namespace {

struct Bounds {
  void* bottom = nullptr;
  std::size_t bytes = 0;
};

// Of the namespace: thread_local variables of functions are taken for __shared__ ones.
thread_local Bounds known_bounds;

Bounds stack_of_thread() {
  pthread_attr_t attributes;
  Bounds bounds;
  check(pthread_getattr_np(pthread_self(), &attributes) == 0 &&
            pthread_attr_getstack(&attributes, &bounds.bottom, &bounds.bytes) == 0,
        "the bounds of this thread's stack are not known");
  pthread_attr_destroy(&attributes);
  return bounds;
}

}  // namespace

FiberContext context_of_thread() {
  // To ask is slow: for the first thread it means to read /proc/self/maps.
  if (known_bounds.bytes == 0) known_bounds = stack_of_thread();
  const Bounds bounds = known_bounds;
  FiberContext context;
  context.stack_bottom = bounds.bottom;
  context.stack_bytes = bounds.bytes;
  return context;
}

#if defined(__x86_64__) && !defined(MIXSPAN_FIBERS_BY_UCONTEXT)

// Puts what a function must keep on the stack, changes the stack, takes what lies there. A new
// fiber begins in mixspan_fiber_begin with the argument in rbx and the function in r12.
extern "C" void mixspan_fiber_switch(void** save_stack_pointer, void* stack_pointer);
extern "C" void mixspan_fiber_begin();
asm(R"(
.text
.globl mixspan_fiber_switch
.type mixspan_fiber_switch, @function
mixspan_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mixspan_fiber_switch, .-mixspan_fiber_switch
.globl mixspan_fiber_begin
.type mixspan_fiber_begin, @function
mixspan_fiber_begin:
  .cfi_startproc
  .cfi_undefined %rip
  movq %rbx, %rdi
  call *%r12
  ud2
  .cfi_endproc
.size mixspan_fiber_begin, .-mixspan_fiber_begin
)");

void prepare(FiberContext& fiber, const FiberStack& stack, FiberEntry entry, void* argument) {
  fiber = {};
  fiber.entry = entry;
  fiber.argument = argument;
  fiber.stack_bottom = stack.bottom();
  fiber.stack_bytes = stack.bytes();
  auto* end = static_cast<std::byte*>(stack.bottom()) + stack.bytes();
  // r15 r14 r13 r12 rbx rbp and where to return to; above it the stack is aligned to 16 bytes.
  auto* frame = reinterpret_cast<std::uint64_t*>(end) - 2 - 7;
  for (int i = 0; i < 7; ++i) frame[i] = 0;
  frame[3] = reinterpret_cast<std::uint64_t>(&first_frame);
  frame[4] = reinterpret_cast<std::uint64_t>(&fiber);
  frame[6] = reinterpret_cast<std::uint64_t>(&mixspan_fiber_begin);
  fiber.stack_pointer = frame;
}

void switch_fiber(FiberContext& from, FiberContext& to, bool last) {
  before_switch(from, to, last);
  mixspan_fiber_switch(&from.stack_pointer, to.stack_pointer);
  after_switch(from.fake_stack);
}

#else

namespace {

ucontext_t* native_of(FiberContext& context) {
  if (!context.native) context.native = std::make_shared<ucontext_t>();
  return static_cast<ucontext_t*>(context.native.get());
}

void begin(unsigned high, unsigned low) {  // makecontext passes on ints alone
  first_frame(reinterpret_cast<void*>((static_cast<std::uintptr_t>(high) << 32) | low));
}

}  // namespace

void prepare(FiberContext& fiber, const FiberStack& stack, FiberEntry entry, void* argument) {
  fiber = {};
  fiber.entry = entry;
  fiber.argument = argument;
  fiber.stack_bottom = stack.bottom();
  fiber.stack_bytes = stack.bytes();
  ucontext_t* native = native_of(fiber);
  check(getcontext(native) == 0, "getcontext failed");
  native->uc_stack.ss_sp = stack.bottom();
  native->uc_stack.ss_size = stack.bytes();
  native->uc_link = nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(&fiber);
  makecontext(native, reinterpret_cast<void (*)()>(&begin), 2, static_cast<unsigned>(address >> 32),
              static_cast<unsigned>(address));
}

void switch_fiber(FiberContext& from, FiberContext& to, bool last) {
  before_switch(from, to, last);
  swapcontext(native_of(from), native_of(to));
  after_switch(from.fake_stack);
}

#endif

}  // namespace mixspan::emulation
