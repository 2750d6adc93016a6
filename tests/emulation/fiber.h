// Stackful fibers: flows of control of one OS thread that are left and gone on with by hand.
#pragma once

#include <cstddef>
#include <memory>

namespace mixspan::emulation {

/// Memory for one fiber's stack; the page below it cannot be touched.
class FiberStack {
 public:
  explicit FiberStack(std::size_t bytes);
  ~FiberStack();
  FiberStack(FiberStack&& other) noexcept;
  FiberStack& operator=(FiberStack&&) = delete;
  void* bottom() const { return bottom_; }
  std::size_t bytes() const { return bytes_; }
  /// To be called when a fiber will not be gone on with: AddressSanitizer forgets its frames.
  void forget_frames() const;

 private:
  void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
};

using FiberEntry = void (*)(void* argument);

/// A place where a flow of control stands: of one fiber, or of the thread that runs fibers.
struct FiberContext {
  void* stack_pointer = nullptr;
  FiberEntry entry = nullptr;
  void* argument = nullptr;
  const void* stack_bottom = nullptr;  // the lowest address
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;    // AddressSanitizer's
  std::shared_ptr<void> native;  // where stack_pointer is not enough
};

/// The calling thread itself, to be left with switch_fiber.
FiberContext context_of_thread();
/// A fiber that begins with entry(argument) on the stack when first switched to. entry must not
/// return and must let no exception out. `fiber` stays where it is in memory.
void prepare(FiberContext& fiber, const FiberStack& stack, FiberEntry entry, void* argument);
/// Leaves `from`, goes on with `to`. `last`: nobody will go on with `from`.
void switch_fiber(FiberContext& from, FiberContext& to, bool last = false);

}  // namespace mixspan::emulation
