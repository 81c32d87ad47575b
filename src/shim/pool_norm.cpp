// Pooling and batch norm without scale and shift over blocks of images [block][channel][row][column][lane], in one pass with its gradient.

#include "tensors.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace {

using naslab::as_vectors;
using naslab::blocks;
using naslab::by_kind;
using naslab::cut;
using naslab::EPSILON;
using naslab::MOMENTUM;
using naslab::Planes;
using naslab::plus_lanes;
using naslab::Vector;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Pool {
  std::int64_t images, channels, height, width, kernel, stride, out_height, out_width;
  bool maximum;

  std::int64_t plane() const { return height * width; }
  std::int64_t out_plane() const { return out_height * out_width; }
  std::int64_t border() const { return (kernel - 1) / 2; }
  std::int64_t tall() const { return (out_height - 1) * stride + kernel; }
  std::int64_t wide() const { return (out_width - 1) * stride + kernel; }
  // Pixels of the map under the window at `i`, `j`.
  std::int64_t pixels(std::int64_t i, std::int64_t j) const {
    const auto inside = [&](std::int64_t at, std::int64_t side) {
      const std::int64_t start = at * stride - border();
      return std::min(start + kernel, side) - std::max<std::int64_t>(start, 0);
    };
    return inside(i, height) * inside(j, width);
  }
  template <class T> std::int64_t lanes(std::int64_t block) const { return std::min(Vector<T>::lanes, images - block * Vector<T>::lanes); }
  template <class T> T outside() const { return maximum ? -std::numeric_limits<T>::infinity() : T(0); }
};

// Pools channel `c` and, if that is asked for, takes its statistics: mean and biased variance over all images.
template <class T> NASLAB_INLINE void pool_channel(const Pool &s, const T *x, T *y, std::int64_t c, bool takes_statistics, double &mean, double &var) {
  using V = typename Vector<T>::type;
  thread_local Planes<T> window, across;
  const std::int64_t count = blocks<T>(s.images), wide = s.wide(), tall = s.tall(), pixels = s.out_plane();
  double sum = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    V *in = window.resize(tall * wide);
    cut<T>(in, as_vectors(x) + (b * s.channels + c) * s.plane(), s.height, s.width, -s.border(), tall, -s.border(), wide, nullptr, nullptr,
           false, s.outside<T>());
    const auto join = [&](V &a, const V &b) __attribute__((always_inline)) {
      // A NaN stays, as in libtorch.
      a = s.maximum ? ((b > a) | (b != b) ? b : a) : a + b;
    };
    V *rows = across.resize(tall * s.out_width), *out = as_vectors(y) + (b * s.channels + c) * pixels;
    for (std::int64_t i = 0; i < tall; ++i) {
      for (std::int64_t j = 0; j < s.out_width; ++j) {
        const V *at = in + i * wide + j * s.stride;
        V value = at[0];
        for (std::int64_t k = 1; k < s.kernel; ++k) {
          join(value, at[k]);
        }
        rows[i * s.out_width + j] = value;
      }
    }
    V part{};
    for (std::int64_t i = 0; i < s.out_height; ++i) {
      for (std::int64_t j = 0; j < s.out_width; ++j) {
        const V *at = rows + i * s.stride * s.out_width + j;
        V value = at[0];
        for (std::int64_t k = 1; k < s.kernel; ++k) {
          join(value, at[k * s.out_width]);
        }
        if (!s.maximum) {
          value /= static_cast<T>(s.pixels(i, j));
        }
        out[i * s.out_width + j] = value;
        part += value;
      }
    }
    sum = plus_lanes(sum, part, s.lanes<T>(b));
  }
  if (!takes_statistics) {
    return;
  }
  const double all = static_cast<double>(s.images * pixels);
  mean = sum / all;
  double square = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const V *at = as_vectors(y) + (b * s.channels + c) * pixels;
    V part{};
    for (std::int64_t p = 0; p < pixels; ++p) {
      const V d = at[p] - static_cast<T>(mean);
      part += d * d;
    }
    square = plus_lanes(square, part, s.lanes<T>(b));
  }
  var = square / all;
}

// Normalises a channel in place.
template <class T> NASLAB_INLINE void normalise_channel(const Pool &s, T *y, std::int64_t c, T mean, T inverse) {
  using V = typename Vector<T>::type;
  for (std::int64_t b = 0; b < blocks<T>(s.images); ++b) {
    V *at = as_vectors(y) + (b * s.channels + c) * s.out_plane();
    for (std::int64_t p = 0; p < s.out_plane(); ++p) {
      at[p] = (at[p] - mean) * inverse;
    }
  }
}

// The gradient of channel `c`; a maximum passes it to the first of equal pixels.
template <class T> NASLAB_INLINE void channel_back(const Pool &s, const T *x, const T *y, const T *g, T *dx, std::int64_t c, T inverse) {
  using V = typename Vector<T>::type;
  constexpr std::int64_t L = Vector<T>::lanes;
  using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Index I __attribute__((vector_size(32)));
  thread_local Planes<T> window, back;
  const std::int64_t count = blocks<T>(s.images), wide = s.wide(), tall = s.tall(), pixels = s.out_plane(), border = s.border();
  double sum = 0, product = 0;
  for (std::int64_t b = 0; b < count; ++b) {
    const V *from = as_vectors(g) + (b * s.channels + c) * pixels, *at = as_vectors(y) + (b * s.channels + c) * pixels;
    V part{}, sloped{};
    for (std::int64_t p = 0; p < pixels; ++p) {
      part += from[p];
      sloped += from[p] * at[p];
    }
    sum = plus_lanes(sum, part, s.lanes<T>(b));
    product = plus_lanes(product, sloped, s.lanes<T>(b));
  }
  const double all = static_cast<double>(s.images * pixels);
  const T flat = static_cast<T>(sum / all), slope = static_cast<T>(product / all);
  for (std::int64_t b = 0; b < count; ++b) {
    const std::int64_t at = b * s.channels + c, lanes = s.lanes<T>(b);
    const V *from = as_vectors(g) + at * pixels, *normal = as_vectors(y) + at * pixels;
    V gain{};
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      gain[lane] = inverse;
    }
    const V *in = nullptr;
    if (s.maximum) {
      V *planes = window.resize(tall * wide);
      cut<T>(planes, as_vectors(x) + at * s.plane(), s.height, s.width, -border, tall, -border, wide, nullptr, nullptr, false, s.outside<T>());
      in = planes;
    }
    V *result = back.filled(tall * wide, T(0));
    T *single = reinterpret_cast<T *>(result);
    for (std::int64_t i = 0; i < s.out_height; ++i) {
      for (std::int64_t j = 0; j < s.out_width; ++j) {
        const std::int64_t p = i * s.out_width + j, start = i * s.stride * wide + j * s.stride;
        const V passed = gain * ((from[p] - flat) - normal[p] * slope);
        if (s.maximum) {
          V value = in[start];
          I place{};
          for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
            for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
              const V tap = in[start + ki * wide + kj];
              const I better = (tap > value) | (tap != tap);
              value = better ? tap : value;
              place = better ? I{} + static_cast<Index>(ki * wide + kj) : place;
            }
          }
          for (std::int64_t lane = 0; lane < lanes; ++lane) {
            single[(start + place[lane]) * L + lane] += passed[lane];
          }
          continue;
        }
        const V share = passed / static_cast<T>(s.pixels(i, j));
        for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
          for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
            result[start + ki * wide + kj] += share;
          }
        }
      }
    }
    // Rows and columns that no window reaches have no gradient.
    cut<T>(as_vectors(dx) + at * s.plane(), result, tall, wide, border, s.height, border, s.width, nullptr, nullptr, false);
  }
}

#define NASLAB_POOL_FOR(T, NAME)                                                                                                           \
  NASLAB_CLONES void pool_##NAME(const Pool &s, const T *x, T *y, std::int64_t c, bool takes_statistics, double &mean, double &var) {      \
    pool_channel<T>(s, x, y, c, takes_statistics, mean, var);                                                                                                \
  }                                                                                                                                        \
  NASLAB_CLONES void normalise_##NAME(const Pool &s, T *y, std::int64_t c, T mean, T inverse) {                                            \
    normalise_channel<T>(s, y, c, mean, inverse);                                                                                          \
  }                                                                                                                                        \
  NASLAB_CLONES void back_##NAME(const Pool &s, const T *x, const T *y, const T *g, T *dx, std::int64_t c, T inverse) {                     \
    channel_back<T>(s, x, y, g, dx, c, inverse);                                                                                           \
  }                                                                                                                                        \
  template <> struct Kernels<T> {                                                                                                          \
    static constexpr auto pool = pool_##NAME;                                                                                              \
    static constexpr auto normalise = normalise_##NAME;                                                                                    \
    static constexpr auto back = back_##NAME;                                                                                              \
  };

template <class T> struct Kernels;
NASLAB_POOL_FOR(float, float)
NASLAB_POOL_FOR(double, double)

class PoolNorm : public torch::autograd::Function<PoolNorm> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &input, std::int64_t images, bool maximum, std::int64_t kernel,
                            std::int64_t stride, bool training, const std::vector<at::Tensor> &running) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::pool_norm", std::vector<c10::IValue>());
    const auto x = input.contiguous();
    TORCH_CHECK(x.dim() == 5 && kernel % 2 == 1 && stride > 0 && running.size() >= 2, "naslab: not a pool over blocks of images");
    const Pool s{images, x.size(1), x.size(2), x.size(3), kernel, stride, (x.size(2) - 1) / stride + 1, (x.size(3) - 1) / stride + 1, maximum};
    for (const auto &r : running) {
      TORCH_CHECK(r.numel() == s.channels && r.is_contiguous() && r.scalar_type() == x.scalar_type(),
                  "naslab: running statistics are one number a channel");
    }
    const auto y = at::empty({x.size(0), s.channels, s.out_height, s.out_width, x.size(4)}, x.options());
    const auto inverse = at::empty({s.channels}, x.options());
    by_kind(x, [&](auto zero) {
      using T = decltype(zero);
      const double all = static_cast<double>(images * s.out_plane());
      naslab::share(s.channels, images * s.out_plane() * kernel, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t c = from; c < to; ++c) {
          double mean = 0, var = 0;
          Kernels<T>::pool(s, x.const_data_ptr<T>(), y.data_ptr<T>(), c, training, mean, var);
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
          Kernels<T>::normalise(s, y.data_ptr<T>(), c, static_cast<T>(mean), r);
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
    const Pool s{how[0], x.size(1), x.size(2), x.size(3), how[1], how[2], y.size(2), y.size(3), how[3] != 0};
    const auto g = gradients[0].contiguous();
    const auto dx = at::empty_like(x), none = at::Tensor();
    by_kind(x, [&](auto zero) {
      using T = decltype(zero);
      naslab::share(s.channels, s.images * s.out_plane() * s.kernel * s.kernel, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t c = from; c < to; ++c) {
          Kernels<T>::back(s, x.const_data_ptr<T>(), y.const_data_ptr<T>(), g.const_data_ptr<T>(), dx.data_ptr<T>(), c,
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
