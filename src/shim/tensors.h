// What the autograd functions share: the window over a tensor, sharing work among threads, and errors that cross the border to Rust.

#pragma once

#include "kernels.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <exception>
#include <string>

namespace naslab {

// Of batch norm, as libtorch's by default: added to the variance, and the share of a new batch in the running statistics.
constexpr double EPSILON = 1e-5;
constexpr double MOMENTUM = 0.1;

// How many numbers a vector of maps of so many images has: as many as the processor's registers hold, unless half as many leave fewer lanes empty.
// Where libtorch is held to older kernels (ATEN_CPU_CAPABILITY), these are too.
inline std::int64_t lanes(bool single, std::int64_t images) {
  const std::int64_t narrow = single ? 8 : 4;
#ifdef NASLAB_AVX512
  static const bool wide = at::get_cpu_capability() == "AVX512" && __builtin_cpu_supports("x86-64-v4");
#else
  constexpr bool wide = false;
#endif
  return wide && (images + narrow - 1) / narrow % 2 == 0 ? 2 * narrow : narrow;
}

// Blocks of so many images.
template <class F> std::int64_t blocks(std::int64_t images) { return (images + F::L - 1) / F::L; }

inline Window window(const at::Tensor &x, std::int64_t kernel, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  TORCH_CHECK(x.dim() == 4 && kernel > 0 && stride > 0 && padding >= 0 && dilation > 0, "naslab: not a window over [N, C, H, W]");
  const auto out = [&](std::int64_t side) {
    const std::int64_t last = side + 2 * padding - dilation * (kernel - 1) - 1;
    TORCH_CHECK(last >= 0, "naslab: the window is larger than the map and its border");
    return last / stride + 1;
  };
  return {x.size(0), x.size(1), x.size(2), x.size(3), kernel, stride, padding, dilation, out(x.size(2)), out(x.size(3))};
}

inline void check_depthwise(const at::Tensor &x, const at::Tensor &w) {
  TORCH_CHECK(w.dim() == 4 && w.size(0) == x.size(1) && w.size(1) == 1 && w.size(2) == w.size(3), "naslab: a depthwise kernel is [C, 1, K, K]");
}

// Each part is one thread's, so that sums do not depend on the number of threads.
template <class F> void share(std::int64_t parts, std::int64_t work_of_part, F f) {
  at::parallel_for(0, parts, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(work_of_part, 1)), f);
}

// Calls `f` with the form for such tensors and so many lanes.
template <class Function> auto by_form(const at::Tensor &x, std::int64_t lanes, Function f) {
  const bool single = x.scalar_type() == at::kFloat;
#ifdef NASLAB_AVX512
  if (lanes == (single ? Float16::L : Double8::L)) {
    return single ? f(Float16{}) : f(Double8{});
  }
#endif
  TORCH_CHECK(lanes == (single ? Float8::L : Double4::L), "naslab: blocks of so many images are not for this processor");
  return single ? f(Float8{}) : f(Double4{});
}

// For images that are not in blocks.
template <class Function> auto by_form(const at::Tensor &x, Function f) { return by_form(x, lanes(x.scalar_type() == at::kFloat, x.size(0)), f); }

// Why the last call on this thread returned a null pointer.
inline std::string &last_error() {
  thread_local std::string message;
  return message;
}

// The tensor that `f` returns, or a null pointer: no exception leaves C++.
template <class F> at::Tensor *guarded(F f) {
  try {
    return new at::Tensor(f());
  } catch (const std::exception &e) {
    last_error() = e.what();
    return nullptr;
  }
}

} // namespace naslab
