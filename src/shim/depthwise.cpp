// Depthwise convolution and pooling on a processor, with their gradients as autograd functions.

#include "tensors.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace {

using naslab::by_form;
using naslab::Num;
using naslab::Planes;
using naslab::share;
using naslab::Vec;
using naslab::Window;
using naslab::window;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Channels [from, to) of y = w * x.
template <class F> NASLAB_INLINE void convolve(const Window &s, const Num<F> *x, const Num<F> *w, Num<F> *y, std::int64_t from, std::int64_t to) {
  using T = Num<F>;
  constexpr std::int64_t L = F::L;
  thread_local Planes<F> in, out;
  for (std::int64_t c = from; c < to; ++c) {
    for (std::int64_t n = 0; n < s.images; n += L) {
      const std::int64_t count = std::min(L, s.images - n);
      const auto *planes = in.load(x + (n * s.channels + c) * s.plane(), s.channels * s.plane(), count, s.height, s.width, s.padding, T(0));
      auto *result = out.resize(s.out_plane());
      naslab::correlate<F>(planes, s.padded_width(), w + c * s.kernel * s.kernel, s.kernel, s.stride, s.dilation, result, s.out_height,
                           s.out_width);
      out.store(y + (n * s.channels + c) * s.out_plane(), s.channels * s.out_plane(), count, s.out_height, s.out_width, 0);
    }
  }
}

// Channels [from, to) of the gradients; a null pointer is not wanted.
template <class F>
NASLAB_INLINE void convolve_back(const Window &s, const Num<F> *x, const Num<F> *w, const Num<F> *g, Num<F> *gx, Num<F> *gw, std::int64_t from, std::int64_t to) {
  using T = Num<F>;
  constexpr std::int64_t L = F::L;
  thread_local Planes<F> in, grad, wide, back, taps;
  const std::int64_t area = s.kernel * s.kernel;
  std::vector<T> flipped(static_cast<std::size_t>(area));
  for (std::int64_t c = from; c < to; ++c) {
    const Num<F> *weights = w + c * area;
    std::reverse_copy(weights, weights + area, flipped.begin());
    auto *sums = taps.filled(area, T(0));
    for (std::int64_t n = 0; n < s.images; n += L) {
      const std::int64_t count = std::min(L, s.images - n);
      const std::int64_t at = (n * s.channels + c) * s.plane(), step = s.channels * s.plane();
      const auto *plain =
          grad.load(g + (n * s.channels + c) * s.out_plane(), s.channels * s.out_plane(), count, s.out_height, s.out_width, 0, T(0));
      if (gx != nullptr) {
        std::int64_t margin;
        naslab::input_gradient<F>(wide, back, s, weights, flipped.data(), plain, margin);
        back.store(gx + at, step, count, s.height, s.width, margin);
      }
      if (gw != nullptr) {
        const auto *planes = in.load(x + at, step, count, s.height, s.width, s.padding, T(0));
        naslab::gather_taps<F>(planes, s.padded_width(), plain, s.kernel, s.stride, s.dilation, sums, s.out_height, s.out_width);
      }
    }
    for (std::int64_t k = 0; gw != nullptr && k < area; ++k) {
      gw[c * area + k] = naslab::plus_lanes(T(0), sums[k], L);
    }
  }
}

// Channels [from, to) of a pool. The average is over the pixels that exist.
template <class F>
NASLAB_INLINE void pool(const Window &s, bool maximum, const Num<F> *x, Num<F> *y, std::int64_t from, std::int64_t to) {
  using T = Num<F>;
  using V = Vec<F>;
  constexpr std::int64_t L = F::L;
  thread_local Planes<F> in, out;
  const T outside = maximum ? -std::numeric_limits<T>::infinity() : T(0);
  for (std::int64_t c = from; c < to; ++c) {
    for (std::int64_t n = 0; n < s.images; n += L) {
      const std::int64_t count = std::min(L, s.images - n);
      const V *planes =
          in.load(x + (n * s.channels + c) * s.plane(), s.channels * s.plane(), count, s.height, s.width, s.padding, outside);
      V *result = out.resize(s.out_plane());
      for (std::int64_t i = 0; i < s.out_height; ++i) {
        for (std::int64_t j = 0; j < s.out_width; ++j) {
          const V *corner = planes + i * s.stride * s.padded_width() + j * s.stride;
          V value{};
          naslab::Maximum<F> greatest(corner[0]);
          for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
            for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
              const V &tap = corner[ki * s.padded_width() + kj];
              if (maximum) {
                greatest.add(tap);
              } else {
                value += tap;
              }
            }
          }
          if (maximum) {
            greatest.result(value);
          } else {
            value /= T(s.pixels(i, j));
          }
          result[i * s.out_width + j] = value;
        }
      }
      out.store(y + (n * s.channels + c) * s.out_plane(), s.channels * s.out_plane(), count, s.out_height, s.out_width, 0);
    }
  }
}

// Channels [from, to) of a pool's gradient; a maximum passes it to the first of equal pixels.
template <class F>
NASLAB_INLINE void pool_back(const Window &s, bool maximum, const Num<F> *x, const Num<F> *g, Num<F> *gx, std::int64_t from, std::int64_t to) {
  using T = Num<F>;
  using V = Vec<F>;
  constexpr std::int64_t L = F::L;
  thread_local Planes<F> in, grad, back;
  for (std::int64_t c = from; c < to; ++c) {
    for (std::int64_t n = 0; n < s.images; n += L) {
      const std::int64_t count = std::min(L, s.images - n);
      const std::int64_t at = (n * s.channels + c) * s.plane(), step = s.channels * s.plane();
      const V *plain =
          grad.load(g + (n * s.channels + c) * s.out_plane(), s.channels * s.out_plane(), count, s.out_height, s.out_width, 0, T(0));
      const V *planes = maximum ? in.load(x + at, step, count, s.height, s.width, s.padding, -std::numeric_limits<T>::infinity()) : nullptr;
      naslab::unpool<F>(s, maximum, planes, plain, back.filled(s.padded_height() * s.padded_width(), T(0)));
      back.store(gx + at, step, count, s.height, s.width, s.padding);
    }
  }
}

template <class F> struct Kernels;
#define NASLAB_FOR(F, TARGET)                                                                                                                \
  TARGET void convolve_##F(const Window &s, const Num<F> *x, const Num<F> *w, Num<F> *y, std::int64_t from, std::int64_t to) {        \
    convolve<F>(s, x, w, y, from, to);                                                                                                       \
  }                                                                                                                                          \
  TARGET void convolve_back_##F(const Window &s, const Num<F> *x, const Num<F> *w, const Num<F> *g, Num<F> *gx, Num<F> *gw,           \
                                       std::int64_t from, std::int64_t to) {                                                                 \
    convolve_back<F>(s, x, w, g, gx, gw, from, to);                                                                                          \
  }                                                                                                                                          \
  TARGET void pool_##F(const Window &s, bool maximum, const Num<F> *x, Num<F> *y, std::int64_t from, std::int64_t to) {               \
    pool<F>(s, maximum, x, y, from, to);                                                                                                     \
  }                                                                                                                                          \
  TARGET void pool_back_##F(const Window &s, bool maximum, const Num<F> *x, const Num<F> *g, Num<F> *gx, std::int64_t from,           \
                                   std::int64_t to) {                                                                                        \
    pool_back<F>(s, maximum, x, g, gx, from, to);                                                                                            \
  }                                                                                                                                          \
  template <> struct Kernels<F> {                                                                                                            \
    static constexpr auto convolve = convolve_##F;                                                                                           \
    static constexpr auto convolve_back = convolve_back_##F;                                                                                 \
    static constexpr auto pool = pool_##F;                                                                                                   \
    static constexpr auto pool_back = pool_back_##F;                                                                                         \
  };

NASLAB_FOR_EACH_FORM(NASLAB_FOR)

std::int64_t work(const Window &s) { return s.images * (s.plane() + s.out_plane()) * s.kernel; }

class Depthwise : public torch::autograd::Function<Depthwise> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &input, const at::Tensor &weight, std::int64_t stride,
                            std::int64_t padding, std::int64_t dilation) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::depthwise", std::vector<c10::IValue>());
    naslab::check_depthwise(input, weight);
    const auto x = input.contiguous(), w = weight.contiguous();
    ctx->save_for_backward({input, weight});
    ctx->saved_data["s"] = std::vector<std::int64_t>{stride, padding, dilation};
    const Window s = window(x, w.size(3), stride, padding, dilation);
    const auto y = at::empty({s.images, s.channels, s.out_height, s.out_width}, x.options());
    by_form(x, [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      share(s.channels, work(s), [&](std::int64_t from, std::int64_t to) {
        Kernels<F>::convolve(s, x.const_data_ptr<T>(), w.const_data_ptr<T>(), y.data_ptr<T>(), from, to);
      });
    });
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    RECORD_FUNCTION("naslab::depthwise_backward", std::vector<c10::IValue>());
    const auto saved = ctx->get_saved_variables();
    const auto how = ctx->saved_data["s"].toIntVector();
    const bool want_x = ctx->needs_input_grad(0), want_w = ctx->needs_input_grad(1);
    const auto none = at::Tensor();
    if (at::GradMode::is_enabled()) {
      // The gradient is to be differentiated again, which libtorch can.
      const auto g = at::convolution_backward(gradients[0], saved[0], saved[1], c10::nullopt, {how[0], how[0]}, {how[1], how[1]},
                                              {how[2], how[2]}, false, {0, 0}, saved[0].size(1), {want_x, want_w, false});
      return {std::get<0>(g), std::get<1>(g), none, none, none};
    }
    const auto x = saved[0].contiguous(), w = saved[1].contiguous();
    const auto g = gradients[0].contiguous();
    const Window s = window(x, w.size(3), how[0], how[1], how[2]);
    const auto gx = want_x ? at::empty_like(x) : none, gw = want_w ? at::empty_like(w) : none;
    by_form(x, [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      T *to_x = want_x ? gx.data_ptr<T>() : nullptr, *to_w = want_w ? gw.data_ptr<T>() : nullptr;
      share(s.channels, work(s), [&](std::int64_t from, std::int64_t to) {
        Kernels<F>::convolve_back(s, x.const_data_ptr<T>(), w.const_data_ptr<T>(), g.const_data_ptr<T>(), to_x, to_w, from, to);
      });
    });
    return {gx, gw, none, none, none};
  }
};

class Pool : public torch::autograd::Function<Pool> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &input, bool maximum, std::int64_t kernel, std::int64_t stride) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::pool", std::vector<c10::IValue>());
    const auto x = input.contiguous();
    ctx->save_for_backward({x});
    ctx->saved_data["s"] = std::vector<std::int64_t>{maximum, kernel, stride};
    const Window s = window(x, kernel, stride, (kernel - 1) / 2, 1);
    const auto y = at::empty({s.images, s.channels, s.out_height, s.out_width}, x.options());
    by_form(x, [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      share(s.channels, work(s), [&](std::int64_t from, std::int64_t to) {
        Kernels<F>::pool(s, maximum, x.const_data_ptr<T>(), y.data_ptr<T>(), from, to);
      });
    });
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    RECORD_FUNCTION("naslab::pool_backward", std::vector<c10::IValue>());
    const auto x = ctx->get_saved_variables()[0];
    const auto how = ctx->saved_data["s"].toIntVector();
    const auto none = at::Tensor();
    TORCH_CHECK(!at::GradMode::is_enabled(), "naslab: the gradient of a pool cannot be differentiated again");
    const bool maximum = how[0] != 0;
    const Window s = window(x, how[1], how[2], (how[1] - 1) / 2, 1);
    const auto g = gradients[0].contiguous();
    const auto gx = at::empty_like(x);
    by_form(x, [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      share(s.channels, work(s), [&](std::int64_t from, std::int64_t to) {
        Kernels<F>::pool_back(s, maximum, x.const_data_ptr<T>(), g.const_data_ptr<T>(), gx.data_ptr<T>(), from, to);
      });
    });
    return {gx, none, none, none};
  }
};

} // namespace

extern "C" {

const char *naslab_last_error() { return naslab::last_error().c_str(); }

std::int64_t naslab_lanes(bool single, std::int64_t images) { return naslab::lanes(single, images); }

at::Tensor *naslab_depthwise(const at::Tensor *x, const at::Tensor *w, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  return naslab::guarded([&] { return Depthwise::apply(*x, *w, stride, padding, dilation); });
}

at::Tensor *naslab_pool(const at::Tensor *x, bool maximum, std::int64_t kernel, std::int64_t stride) {
  return naslab::guarded([&] { return Pool::apply(*x, maximum, kernel, stride); });
}
}
