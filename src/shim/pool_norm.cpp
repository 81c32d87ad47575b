// Pooling and batch norm without scale and shift over blocks of images [block][channel][row][column][lane], in one pass with its gradient.

#include "tensors.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace {

using naslab::add_up;
using naslab::as_vectors;
using naslab::blocks;
using naslab::by_form;
using naslab::Num;
using naslab::cut;
using naslab::EPSILON;
using naslab::Maximum;
using naslab::MOMENTUM;
using naslab::Planes;
using naslab::plus_lanes;
using naslab::Vec;
using naslab::Window;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class F> std::int64_t lanes(const Window &s, std::int64_t block) { return std::min(F::L, s.images - block * F::L); }

// Planes of a channel of a block with the window's border, which no maximum is in.
template <class F> NASLAB_INLINE Vec<F> *bordered(Planes<F> &window, const Window &s, bool maximum, const Num<F> *x, std::int64_t channel) {
  using T = Num<F>;
  auto *planes = window.resize(s.padded_height() * s.padded_width());
  cut<F>(planes, as_vectors<F>(x) + channel * s.plane(), s.height, s.width, -s.padding, s.padded_height(), -s.padding, s.padded_width(), nullptr,
         nullptr, false, maximum ? -std::numeric_limits<T>::infinity() : T(0));
  return planes;
}

// Pools channel `c` and, if that is asked for, takes its statistics: mean and biased variance over all images.
template <class F> NASLAB_INLINE void pool_channel(const Window &s, bool maximum, const Num<F> *x, Num<F> *y, std::int64_t c, bool takes_statistics, double &mean, double &var) {
  using T = Num<F>;
  using V = Vec<F>;
  thread_local Planes<F> window, across;
  const std::int64_t count = blocks<F>(s.images), wide = s.padded_width(), tall = s.padded_height(), pixels = s.out_plane();
  double sum = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const V *in = bordered<F>(window, s, maximum, x, b * s.channels + c);
    const auto join = [&](const V *at, std::int64_t step, V &out) __attribute__((always_inline)) {
      if (maximum) {
        Maximum<F> greatest(at[0]);
        for (std::int64_t k = 1; k < s.kernel; ++k) {
          greatest.add(at[k * step]);
        }
        greatest.result(out);
        return;
      }
      V value = at[0];
      for (std::int64_t k = 1; k < s.kernel; ++k) {
        value += at[k * step];
      }
      out = value;
    };
    V *rows = across.resize(tall * s.out_width), *out = as_vectors<F>(y) + (b * s.channels + c) * pixels;
    for (std::int64_t i = 0; i < tall; ++i) {
      for (std::int64_t j = 0; j < s.out_width; ++j) {
        join(in + i * wide + j * s.stride, 1, rows[i * s.out_width + j]);
      }
    }
    V part{};
    for (std::int64_t i = 0; i < s.out_height; ++i) {
      for (std::int64_t j = 0; j < s.out_width; ++j) {
        V value;
        join(rows + i * s.stride * s.out_width + j, s.out_width, value);
        if (!maximum) {
          value /= static_cast<T>(s.pixels(i, j));
        }
        out[i * s.out_width + j] = value;
        part += value;
      }
    }
    sum = plus_lanes(sum, part, lanes<F>(s, b));
  }
  if (!takes_statistics) {
    return;
  }
  const double all = static_cast<double>(s.images * pixels);
  mean = sum / all;
  double square = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const V *at = as_vectors<F>(y) + (b * s.channels + c) * pixels;
    V part{};
    add_up<V, 1>(0, pixels, &part, [&, around = static_cast<T>(mean)](std::int64_t p, V *to) __attribute__((always_inline)) {
      const V d = at[p] - around;
      to[0] += d * d;
    });
    square = plus_lanes(square, part, lanes<F>(s, b));
  }
  var = square / all;
}

// Normalises a channel in place.
template <class F> NASLAB_INLINE void normalise_channel(const Window &s, Num<F> *y, std::int64_t c, Num<F> mean, Num<F> inverse) {
  using V = Vec<F>;
  for (std::int64_t b = 0; b < blocks<F>(s.images); ++b) {
    V *at = as_vectors<F>(y) + (b * s.channels + c) * s.out_plane();
    for (std::int64_t p = 0; p < s.out_plane(); ++p) {
      at[p] = (at[p] - mean) * inverse;
    }
  }
}

// The gradient of channel `c`.
template <class F>
NASLAB_INLINE void channel_back(const Window &s, bool maximum, const Num<F> *x, const Num<F> *y, const Num<F> *g, Num<F> *dx, std::int64_t c, Num<F> inverse) {
  using T = Num<F>;
  using V = Vec<F>;
  thread_local Planes<F> window, grad, back;
  const std::int64_t count = blocks<F>(s.images), wide = s.padded_width(), tall = s.padded_height(), pixels = s.out_plane();
  double sum = 0, product = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const V *from = as_vectors<F>(g) + (b * s.channels + c) * pixels, *at = as_vectors<F>(y) + (b * s.channels + c) * pixels;
    V totals[2]{};
    add_up<V, 2>(0, pixels, totals, [&](std::int64_t p, V *to) __attribute__((always_inline)) {
      to[0] += from[p];
      to[1] += from[p] * at[p];
    });
    sum = plus_lanes(sum, totals[0], lanes<F>(s, b));
    product = plus_lanes(product, totals[1], lanes<F>(s, b));
  }
  const double all = static_cast<double>(s.images * pixels);
  const T flat = static_cast<T>(sum / all), slope = static_cast<T>(product / all);
  for (std::int64_t b = 0; b < count; ++b) {
    const std::int64_t at = b * s.channels + c, valid = lanes<F>(s, b);
    const V *from = as_vectors<F>(g) + at * pixels, *normal = as_vectors<F>(y) + at * pixels;
    V gain{};
    for (std::int64_t lane = 0; lane < valid; ++lane) {
      gain[lane] = inverse;
    }
    V *passed = grad.resize(pixels);
    for (std::int64_t p = 0; p < pixels; ++p) {
      passed[p] = gain * ((from[p] - flat) - normal[p] * slope);
    }
    V *result = back.filled(tall * wide, T(0));
    naslab::unpool<F>(s, maximum, maximum ? bordered<F>(window, s, maximum, x, at) : nullptr, passed, result);
    cut<F>(as_vectors<F>(dx) + at * s.plane(), result, tall, wide, s.padding, s.height, s.padding, s.width, nullptr, nullptr, false);
  }
}

template <class F> struct Kernels;
#define NASLAB_POOL_FOR(F, TARGET)                                                                                                           \
  TARGET void pool_##F(const Window &s, bool maximum, const Num<F> *x, Num<F> *y, std::int64_t c, bool takes_statistics, double &mean,       \
                       double &var) {                                                                                                        \
    pool_channel<F>(s, maximum, x, y, c, takes_statistics, mean, var);                                                                       \
  }                                                                                                                                          \
  TARGET void normalise_##F(const Window &s, Num<F> *y, std::int64_t c, Num<F> mean, Num<F> inverse) {                                       \
    normalise_channel<F>(s, y, c, mean, inverse);                                                                                            \
  }                                                                                                                                          \
  TARGET void back_##F(const Window &s, bool maximum, const Num<F> *x, const Num<F> *y, const Num<F> *g, Num<F> *dx, std::int64_t c,         \
                       Num<F> inverse) {                                                                                                     \
    channel_back<F>(s, maximum, x, y, g, dx, c, inverse);                                                                                    \
  }                                                                                                                                          \
  template <> struct Kernels<F> {                                                                                                            \
    static constexpr auto pool = pool_##F;                                                                                                   \
    static constexpr auto normalise = normalise_##F;                                                                                         \
    static constexpr auto back = back_##F;                                                                                                   \
  };

NASLAB_FOR_EACH_FORM(NASLAB_POOL_FOR)

// A window that keeps the size at stride 1, over blocks of images.
Window window(const at::Tensor &x, std::int64_t images, std::int64_t kernel, std::int64_t stride) {
  const std::int64_t height = x.size(2), width = x.size(3);
  return {images, x.size(1), height, width, kernel, stride, (kernel - 1) / 2, 1, (height - 1) / stride + 1, (width - 1) / stride + 1};
}

class PoolNorm : public torch::autograd::Function<PoolNorm> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &input, std::int64_t images, bool maximum, std::int64_t kernel,
                            std::int64_t stride, bool training, const std::vector<at::Tensor> &running) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::pool_norm", std::vector<c10::IValue>());
    const auto x = input.contiguous();
    TORCH_CHECK(x.dim() == 5 && kernel % 2 == 1 && stride > 0 && running.size() >= 2, "naslab: not a pool over blocks of images");
    const Window s = window(x, images, kernel, stride);
    for (const auto &r : running) {
      TORCH_CHECK(r.numel() == s.channels && r.is_contiguous() && r.scalar_type() == x.scalar_type(),
                  "naslab: running statistics are one number a channel");
    }
    const auto y = at::empty({x.size(0), s.channels, s.out_height, s.out_width, x.size(4)}, x.options());
    const auto inverse = at::empty({s.channels}, x.options());
    by_form(x, x.size(4), [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      const double all = static_cast<double>(images * s.out_plane());
      naslab::share(s.channels, images * s.out_plane() * kernel, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t c = from; c < to; ++c) {
          double mean = 0, var = 0;
          Kernels<F>::pool(s, maximum, x.const_data_ptr<T>(), y.data_ptr<T>(), c, training, mean, var);
          for (std::size_t i = 0; i < running.size() && training; i += 2) {
            T &m = running[i].data_ptr<T>()[c], &v = running[i + 1].data_ptr<T>()[c];
            m = static_cast<T>((1 - MOMENTUM) * m + MOMENTUM * mean);
            v = static_cast<T>((1 - MOMENTUM) * v + MOMENTUM * var * all / std::max(all - 1, 1.0));
          }
          if (!training) {
            mean = running[0].data_ptr<T>()[c];
            var = running[1].data_ptr<T>()[c];
          }
          const T r = inverse.data_ptr<T>()[c] = static_cast<T>(1 / std::sqrt(var + EPSILON));
          Kernels<F>::normalise(s, y.data_ptr<T>(), c, static_cast<T>(mean), r);
        }
      });
    });
    ctx->save_for_backward({x, y, inverse});
    ctx->saved_data["s"] = std::vector<std::int64_t>{images, kernel, stride, maximum, training};
    return y;
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    RECORD_FUNCTION("naslab::pool_norm_backward", std::vector<c10::IValue>());
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &y = saved[1], &inverse = saved[2];
    const auto how = ctx->saved_data["s"].toIntVector();
    TORCH_CHECK(!at::GradMode::is_enabled(), "naslab: the gradient of a pool cannot be differentiated again");
    TORCH_CHECK(how[4] != 0, "naslab: a batch norm that scores has no gradient");
    const Window s = window(x, how[0], how[1], how[2]);
    const auto g = gradients[0].contiguous();
    const auto dx = at::empty_like(x), none = at::Tensor();
    by_form(x, x.size(4), [&](auto form) {
      using F = decltype(form);
      using T = Num<F>;
      naslab::share(s.channels, s.images * s.out_plane() * s.kernel * s.kernel, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t c = from; c < to; ++c) {
          Kernels<F>::back(s, how[3] != 0, x.const_data_ptr<T>(), y.const_data_ptr<T>(), g.const_data_ptr<T>(), dx.data_ptr<T>(), c,
                           inverse.const_data_ptr<T>()[c]);
        }
      });
    });
    return {dx, none, none, none, none, none, none};
  }
};

} // namespace

// `running` are means and variances by turns; all move alike, and the first pair is what scoring normalises by.
extern "C" at::Tensor *naslab_pool_norm(const at::Tensor *x, std::int64_t images, bool maximum, std::int64_t kernel, std::int64_t stride,
                                        bool training, const at::Tensor *const *running, std::int64_t count) {
  return naslab::guarded([&] {
    std::vector<at::Tensor> list;
    for (std::int64_t i = 0; i < count; ++i) {
      list.push_back(*running[i]);
    }
    return PoolNorm::apply(*x, images, maximum, kernel, stride, training, list);
  });
}
