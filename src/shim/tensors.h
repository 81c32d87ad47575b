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

// Blocks of so many images.
template <class T> std::int64_t blocks(std::int64_t images) { return (images + Vector<T>::lanes - 1) / Vector<T>::lanes; }

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

// Calls `f` with a zero of the tensor's kind.
template <class F> auto by_kind(const at::Tensor &x, F f) { return x.scalar_type() == at::kFloat ? f(0.0f) : f(0.0); }

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
