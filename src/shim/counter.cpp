// Counts the operators that are called, by libtorch's own observer; and the memory of the allocator.

#include <ATen/record_function.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

std::atomic<std::int64_t> calls{0};
at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;
thread_local std::int64_t depth = 0;

// Only the outermost operator counts: a convolution calls others.
std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction &) {
  if (depth++ == 0) {
    ++calls;
  }
  return nullptr;
}

void leave(const at::RecordFunction &, at::ObserverContext *) { --depth; }

} // namespace

extern "C" {

bool naslab_count_begin() {
  try {
    calls = 0;
    handle = at::addGlobalCallback(at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION}));
    return true;
  } catch (const std::exception &) {
    return false;
  }
}

// Calls since the count began.
std::int64_t naslab_count() { return calls; }

void naslab_count_end() { at::removeCallback(handle); }

// Freed memory of up to 32 MiB a piece stays with the program for the next tensors: to get it from the system means to have it cleared.
void naslab_keep_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
#endif
}

// Gives freed memory back to the system.
void naslab_return_memory() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
}
