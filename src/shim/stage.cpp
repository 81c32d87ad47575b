// ReLU, depthwise convolution, pointwise convolution, batch norm: the stage that cell networks are made of, in one pass over blocks of images,
// with its gradient.

#include "tensors.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace {

using naslab::by_kind;
using naslab::plus_lanes;
using naslab::Planes;
using naslab::share;
using naslab::Vector;
using naslab::Window;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double EPSILON = 1e-5;
constexpr double MOMENTUM = 0.1;

struct Shape {
  // The window is 1 wide where there is no depthwise convolution.
  Window window;
  std::int64_t outputs;
  bool relu, depthwise;

  std::int64_t pixels() const { return window.out_plane(); }
};

// Blocks of images: [block][channel][pixel][lane].
template <class T> std::int64_t blocks(const Shape &s) { return (s.window.images + Vector<T>::lanes - 1) / Vector<T>::lanes; }

template <class T> std::int64_t valid(const Shape &s, std::int64_t block) {
  return std::min(Vector<T>::lanes, s.window.images - block * Vector<T>::lanes);
}

template <class T> NASLAB_INLINE typename Vector<T>::type *as_vectors(T *p) { return reinterpret_cast<typename Vector<T>::type *>(p); }
template <class T> NASLAB_INLINE const typename Vector<T>::type *as_vectors(const T *p) {
  return reinterpret_cast<const typename Vector<T>::type *>(p);
}

// Planes of one channel of one block after the ReLU, with the window's border.
template <class T> NASLAB_INLINE const typename Vector<T>::type *load_rectified(Planes<T> &in, const Shape &s, const T *x, std::int64_t block,
                                                                                std::int64_t c) {
  using V = typename Vector<T>::type;
  const Window &w = s.window;
  const std::int64_t n = block * Vector<T>::lanes;
  V *planes = in.load(x + (n * w.channels + c) * w.plane(), w.channels * w.plane(), valid<T>(s, block), w.height, w.width, w.padding, T(0));
  if (s.relu) {
    for (std::int64_t i = 0; i < w.padded_height() * w.padded_width(); ++i) {
      // As libtorch's: a NaN passes.
      planes[i] = planes[i] < V{} ? V{} : planes[i];
    }
  }
  return planes;
}

// outs[o][p] = sum over c of w[o * o_step + c * c_step] * ins[c][p]
template <class T>
NASLAB_INLINE void multiply(const typename Vector<T>::type *ins, const T *w, std::int64_t o_step, std::int64_t c_step, std::int64_t inputs,
                            std::int64_t outputs, std::int64_t pixels, typename Vector<T>::type *outs) {
  using V = typename Vector<T>::type;
  for (std::int64_t o = 0; o < outputs; o += 2) {
    const bool pair = o + 1 < outputs;
    const T *w0 = w + o * o_step, *w1 = pair ? w0 + o_step : w0;
    std::int64_t p = 0;
    for (; p + 4 <= pixels; p += 4) {
      V a0{}, a1{}, a2{}, a3{}, b0{}, b1{}, b2{}, b3{};
      const V *in = ins + p;
      for (std::int64_t c = 0; c < inputs; ++c, in += pixels) {
        const T u = w0[c * c_step], v = w1[c * c_step];
        const V x0 = in[0], x1 = in[1], x2 = in[2], x3 = in[3];
        a0 += u * x0;
        a1 += u * x1;
        a2 += u * x2;
        a3 += u * x3;
        b0 += v * x0;
        b1 += v * x1;
        b2 += v * x2;
        b3 += v * x3;
      }
      V *to = outs + o * pixels + p;
      to[0] = a0;
      to[1] = a1;
      to[2] = a2;
      to[3] = a3;
      if (pair) {
        to += pixels;
        to[0] = b0;
        to[1] = b1;
        to[2] = b2;
        to[3] = b3;
      }
    }
    for (; p < pixels; ++p) {
      V a{}, b{};
      for (std::int64_t c = 0; c < inputs; ++c) {
        const V x = ins[c * pixels + p];
        a += w0[c * c_step] * x;
        b += w1[c * c_step] * x;
      }
      outs[o * pixels + p] = a;
      if (pair) {
        outs[(o + 1) * pixels + p] = b;
      }
    }
  }
}

// Block [from, to) up to the pointwise convolution: a = depthwise(relu(x)), h = pointwise(a).
template <class T>
NASLAB_INLINE void convolve(const Shape &s, const T *x, const T *dw, const T *pw, T *a, T *h, std::int64_t from, std::int64_t to) {
  constexpr std::int64_t L = Vector<T>::lanes;
  thread_local Planes<T> in;
  const Window &w = s.window;
  const T one = 1;
  for (std::int64_t b = from; b < to; ++b) {
    auto *middle = as_vectors(a + b * w.channels * s.pixels() * L);
    for (std::int64_t c = 0; c < w.channels; ++c) {
      const auto *planes = load_rectified(in, s, x, b, c);
      const T *weights = s.depthwise ? dw + c * w.kernel * w.kernel : &one;
      naslab::correlate<T>(planes, w.padded_width(), weights, w.kernel, w.stride, w.dilation, middle + c * s.pixels(), w.out_height,
                           w.out_width);
    }
    multiply<T>(middle, pw, w.channels, 1, w.channels, s.outputs, s.pixels(), as_vectors(h + b * s.outputs * s.pixels() * L));
  }
}

// Mean and biased variance of outputs [from, to), in double precision.
template <class T>
NASLAB_INLINE void statistics(const Shape &s, const T *h, double *mean, double *var, std::int64_t from, std::int64_t to) {
  using V = typename Vector<T>::type;
  constexpr std::int64_t L = Vector<T>::lanes;
  const double count = static_cast<double>(s.window.images * s.pixels());
  for (std::int64_t o = from; o < to; ++o) {
    double sum = 0;
    for (std::int64_t b = 0; b < blocks<T>(s); ++b) {
      const V *at = as_vectors(h + (b * s.outputs + o) * s.pixels() * L);
      V part{};
      for (std::int64_t p = 0; p < s.pixels(); ++p) {
        part += at[p];
      }
      sum = plus_lanes(sum, part, L);
    }
    const double m = sum / count;
    double square = 0;
    for (std::int64_t b = 0; b < blocks<T>(s); ++b) {
      const V *at = as_vectors(h + (b * s.outputs + o) * s.pixels() * L);
      V part{};
      for (std::int64_t p = 0; p < s.pixels(); ++p) {
        const V d = at[p] - static_cast<T>(m);
        part += d * d;
      }
      square = plus_lanes(square, part, valid<T>(s, b));
    }
    mean[o] = m;
    var[o] = square / count;
  }
}

// y = h * scale + shift, block [from, to), back to [images, outputs, rows, columns].
template <class T>
NASLAB_INLINE void normalise(const Shape &s, const T *h, const T *scale, const T *shift, T *y, std::int64_t from, std::int64_t to) {
  constexpr std::int64_t L = Vector<T>::lanes;
  thread_local Planes<T> out;
  for (std::int64_t b = from; b < to; ++b) {
    for (std::int64_t o = 0; o < s.outputs; ++o) {
      const auto *at = as_vectors(h + (b * s.outputs + o) * s.pixels() * L);
      auto *result = out.resize(s.pixels());
      for (std::int64_t p = 0; p < s.pixels(); ++p) {
        result[p] = at[p] * scale[o] + shift[o];
      }
      out.store(y + (b * L * s.outputs + o) * s.pixels(), s.outputs * s.pixels(), valid<T>(s, b), 1, s.pixels(), 0);
    }
  }
}

// Outputs [from, to): the gradient through the batch norm, in blocks (dh); of scale and shift; and of the pointwise weights.
template <class T>
NASLAB_INLINE void norm_back(const Shape &s, const T *g, const T *a, const T *h, const double *mean, const double *inverse, const T *gamma,
                             T *dh, T *dgamma, T *dbeta, T *dpw, std::int64_t from, std::int64_t to) {
  using V = typename Vector<T>::type;
  constexpr std::int64_t L = Vector<T>::lanes;
  thread_local Planes<T> grad, sums;
  const std::int64_t channels = s.window.channels, pixels = s.pixels();
  const double count = static_cast<double>(s.window.images * pixels);
  for (std::int64_t o = from; o < to; ++o) {
    const T m = static_cast<T>(mean[o]), r = static_cast<T>(inverse[o]);
    double sum = 0, product = 0;
    for (std::int64_t b = 0; b < blocks<T>(s); ++b) {
      const V *plain = grad.load(g + (b * L * s.outputs + o) * pixels, s.outputs * pixels, valid<T>(s, b), 1, pixels, 0, T(0));
      const V *at = as_vectors(h + (b * s.outputs + o) * pixels * L);
      V *to_h = as_vectors(dh + (b * s.outputs + o) * pixels * L);
      V part{}, with_x{};
      for (std::int64_t p = 0; p < pixels; ++p) {
        to_h[p] = plain[p];
        part += plain[p];
        with_x += plain[p] * ((at[p] - m) * r);
      }
      sum = plus_lanes(sum, part, L);
      product = plus_lanes(product, with_x, L);
    }
    dgamma[o] = static_cast<T>(product);
    dbeta[o] = static_cast<T>(sum);
    const T scale = (gamma != nullptr ? gamma[o] : T(1)) * r;
    const T shift = static_cast<T>(sum / count), slope = static_cast<T>(product / count);
    V *weights = sums.filled(channels, T(0));
    for (std::int64_t b = 0; b < blocks<T>(s); ++b) {
      const V *at = as_vectors(h + (b * s.outputs + o) * pixels * L);
      V *to_h = as_vectors(dh + (b * s.outputs + o) * pixels * L);
      V inside{};
      for (std::int64_t lane = 0; lane < valid<T>(s, b); ++lane) {
        inside[lane] = scale;
      }
      for (std::int64_t p = 0; p < pixels; ++p) {
        to_h[p] = inside * (to_h[p] - shift - (at[p] - m) * r * slope);
      }
      if (dpw == nullptr) {
        continue;
      }
      const V *ins = as_vectors(a + b * channels * pixels * L);
      std::int64_t c = 0;
      for (; c + 4 <= channels; c += 4) {
        const V *i0 = ins + c * pixels, *i1 = i0 + pixels, *i2 = i1 + pixels, *i3 = i2 + pixels;
        V a0{}, a1{}, a2{}, a3{};
        for (std::int64_t p = 0; p < pixels; ++p) {
          const V d = to_h[p];
          a0 += d * i0[p];
          a1 += d * i1[p];
          a2 += d * i2[p];
          a3 += d * i3[p];
        }
        weights[c] += a0;
        weights[c + 1] += a1;
        weights[c + 2] += a2;
        weights[c + 3] += a3;
      }
      for (; c < channels; ++c) {
        V sum_c{};
        for (std::int64_t p = 0; p < pixels; ++p) {
          sum_c += to_h[p] * ins[c * pixels + p];
        }
        weights[c] += sum_c;
      }
    }
    for (std::int64_t c = 0; dpw != nullptr && c < channels; ++c) {
      dpw[o * channels + c] = plus_lanes(T(0), weights[c], L);
    }
  }
}

// Blocks [from, to): da = transposed pointwise of dh.
template <class T>
NASLAB_INLINE void pointwise_back(const Shape &s, const T *dh, const T *pw, T *da, std::int64_t from, std::int64_t to) {
  constexpr std::int64_t L = Vector<T>::lanes;
  const std::int64_t channels = s.window.channels;
  for (std::int64_t b = from; b < to; ++b) {
    multiply<T>(as_vectors(dh + b * s.outputs * s.pixels() * L), pw, 1, channels, s.outputs, channels, s.pixels(),
                as_vectors(da + b * channels * s.pixels() * L));
  }
}

// Channels [from, to): gradients of the depthwise weights and of the input; a null pointer is not wanted.
template <class T>
NASLAB_INLINE void input_back(const Shape &s, const T *da, const T *x, const T *dw, T *dx, T *ddw, std::int64_t from, std::int64_t to) {
  using V = typename Vector<T>::type;
  constexpr std::int64_t L = Vector<T>::lanes;
  thread_local Planes<T> in, wide, back, taps;
  const Window &w = s.window;
  const std::int64_t area = w.kernel * w.kernel;
  const T one = 1;
  std::vector<T> flipped(static_cast<std::size_t>(area));
  for (std::int64_t c = from; c < to; ++c) {
    const T *weights = s.depthwise ? dw + c * area : &one;
    std::reverse_copy(weights, weights + area, flipped.begin());
    V *sums = taps.filled(area, T(0));
    for (std::int64_t b = 0; b < blocks<T>(s); ++b) {
      const V *grad = as_vectors(da + (b * w.channels + c) * s.pixels() * L);
      const V *planes = load_rectified(in, s, x, b, c);
      if (ddw != nullptr) {
        naslab::gather_taps<T>(planes, w.padded_width(), grad, w.kernel, w.stride, w.dilation, sums, w.out_height, w.out_width);
      }
      if (dx == nullptr) {
        continue;
      }
      std::int64_t margin;
      V *result = naslab::input_gradient<T>(wide, back, w, weights, flipped.data(), grad, margin);
      if (s.relu) {
        for (std::int64_t i = 0; i < w.height; ++i) {
          for (std::int64_t j = 0; j < w.width; ++j) {
            V &at = result[(i + margin) * (w.width + 2 * margin) + j + margin];
            at = planes[(i + w.padding) * w.padded_width() + j + w.padding] > V{} ? at : V{};
          }
        }
      }
      back.store(dx + (b * L * w.channels + c) * w.plane(), w.channels * w.plane(), valid<T>(s, b), w.height, w.width, margin);
    }
    for (std::int64_t k = 0; ddw != nullptr && k < area; ++k) {
      ddw[c * area + k] = plus_lanes(T(0), sums[k], L);
    }
  }
}

#define NASLAB_STAGE_FOR(T, NAME)                                                                                                          \
  NASLAB_CLONES void convolve_##NAME(const Shape &s, const T *x, const T *dw, const T *pw, T *a, T *h, std::int64_t from, std::int64_t to) { \
    convolve<T>(s, x, dw, pw, a, h, from, to);                                                                                             \
  }                                                                                                                                        \
  NASLAB_CLONES void statistics_##NAME(const Shape &s, const T *h, double *mean, double *var, std::int64_t from, std::int64_t to) {         \
    statistics<T>(s, h, mean, var, from, to);                                                                                              \
  }                                                                                                                                        \
  NASLAB_CLONES void normalise_##NAME(const Shape &s, const T *h, const T *scale, const T *shift, T *y, std::int64_t from,                  \
                                      std::int64_t to) {                                                                                   \
    normalise<T>(s, h, scale, shift, y, from, to);                                                                                         \
  }                                                                                                                                        \
  NASLAB_CLONES void norm_back_##NAME(const Shape &s, const T *g, const T *a, const T *h, const double *mean, const double *inverse,        \
                                      const T *gamma, T *dh, T *dgamma, T *dbeta, T *dpw, std::int64_t from, std::int64_t to) {             \
    norm_back<T>(s, g, a, h, mean, inverse, gamma, dh, dgamma, dbeta, dpw, from, to);                                                      \
  }                                                                                                                                        \
  NASLAB_CLONES void pointwise_back_##NAME(const Shape &s, const T *dh, const T *pw, T *da, std::int64_t from, std::int64_t to) {           \
    pointwise_back<T>(s, dh, pw, da, from, to);                                                                                            \
  }                                                                                                                                        \
  NASLAB_CLONES void input_back_##NAME(const Shape &s, const T *da, const T *x, const T *dw, T *dx, T *ddw, std::int64_t from,              \
                                       std::int64_t to) {                                                                                  \
    input_back<T>(s, da, x, dw, dx, ddw, from, to);                                                                                        \
  }

NASLAB_STAGE_FOR(float, float)
NASLAB_STAGE_FOR(double, double)

template <class T> struct Kernels;
template <> struct Kernels<float> {
  static constexpr auto convolve = convolve_float;
  static constexpr auto statistics = statistics_float;
  static constexpr auto normalise = normalise_float;
  static constexpr auto norm_back = norm_back_float;
  static constexpr auto pointwise_back = pointwise_back_float;
  static constexpr auto input_back = input_back_float;
};
template <> struct Kernels<double> {
  static constexpr auto convolve = convolve_double;
  static constexpr auto statistics = statistics_double;
  static constexpr auto normalise = normalise_double;
  static constexpr auto norm_back = norm_back_double;
  static constexpr auto pointwise_back = pointwise_back_double;
  static constexpr auto input_back = input_back_double;
};

template <class T> const T *data_or_null(const at::Tensor &t) { return t.defined() ? t.const_data_ptr<T>() : nullptr; }

Shape shape(const at::Tensor &x, const at::Tensor &dw, const at::Tensor &pw, bool relu, std::int64_t stride, std::int64_t padding,
            std::int64_t dilation) {
  if (dw.defined()) {
    naslab::check_depthwise(x, dw);
  }
  const Window w = naslab::window(x, dw.defined() ? dw.size(3) : 1, stride, padding, dilation);
  TORCH_CHECK(pw.dim() == 4 && pw.size(1) == x.size(1) && pw.size(2) == 1 && pw.size(3) == 1, "naslab: a pointwise kernel is [C', C, 1, 1]");
  return {w, pw.size(0), relu, dw.defined()};
}

class Stage : public torch::autograd::Function<Stage> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::Tensor &input, const std::optional<at::Tensor> &depthwise,
                            const at::Tensor &pointwise, const std::optional<at::Tensor> &scales, const std::optional<at::Tensor> &shifts,
                            const at::Tensor &running_mean, const at::Tensor &running_var,
                            bool training, bool relu, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
    at::AutoDispatchBelowADInplaceOrView below;
    const auto x = input.contiguous(), pw = pointwise.contiguous();
    const auto dw = depthwise ? depthwise->contiguous() : at::Tensor();
    const auto gamma = scales ? scales->contiguous() : at::Tensor(), beta = shifts ? shifts->contiguous() : at::Tensor();
    const Shape s = shape(x, dw, pw, relu, stride, padding, dilation);
    for (const auto &t : {gamma, beta, running_mean, running_var}) {
      TORCH_CHECK(!t.defined() || (t.dim() == 1 && t.size(0) == s.outputs && t.is_contiguous() && t.scalar_type() == x.scalar_type()),
                  "naslab: scale, shift and running statistics are one number a channel");
    }
    const auto doubles = at::TensorOptions().dtype(at::kDouble);
    const auto mean = at::empty({s.outputs}, doubles), inverse = at::empty({s.outputs}, doubles);
    return by_kind(x, [&](auto zero) {
      using T = decltype(zero);
      const std::int64_t b = blocks<T>(s), lanes = Vector<T>::lanes, pixels = s.pixels();
      const auto a = at::empty({b, s.window.channels, pixels, lanes}, x.options()), h = at::empty({b, s.outputs, pixels, lanes}, x.options());
      const std::int64_t work = pixels * s.window.channels * (s.outputs + s.window.kernel * s.window.kernel) * lanes;
      share(b, work, [&](std::int64_t from, std::int64_t to) {
        Kernels<T>::convolve(s, x.const_data_ptr<T>(), data_or_null<T>(dw), pw.const_data_ptr<T>(), a.data_ptr<T>(), h.data_ptr<T>(), from, to);
      });
      double *m = mean.data_ptr<double>(), *r = inverse.data_ptr<double>();
      if (training) {
        share(s.outputs, s.window.images * pixels, [&](std::int64_t from, std::int64_t to) {
          Kernels<T>::statistics(s, h.const_data_ptr<T>(), m, r, from, to);
        });
      }
      T *rm = running_mean.data_ptr<T>(), *rv = running_var.data_ptr<T>();
      const double count = static_cast<double>(s.window.images * pixels);
      const auto scale = at::empty({s.outputs}, x.options()), shift = at::empty({s.outputs}, x.options());
      for (std::int64_t o = 0; o < s.outputs; ++o) {
        if (training) {
          rm[o] = static_cast<T>((1 - MOMENTUM) * rm[o] + MOMENTUM * m[o]);
          rv[o] = static_cast<T>((1 - MOMENTUM) * rv[o] + MOMENTUM * r[o] * count / std::max(count - 1, 1.0));
        } else {
          m[o] = rm[o];
          r[o] = rv[o];
        }
        r[o] = 1 / std::sqrt(r[o] + EPSILON);
        const double g = gamma.defined() ? static_cast<double>(gamma.const_data_ptr<T>()[o]) : 1.0;
        scale.data_ptr<T>()[o] = static_cast<T>(g * r[o]);
        shift.data_ptr<T>()[o] = static_cast<T>((beta.defined() ? static_cast<double>(beta.const_data_ptr<T>()[o]) : 0.0) - g * r[o] * m[o]);
      }
      const auto y = at::empty({s.window.images, s.outputs, s.window.out_height, s.window.out_width}, x.options());
      share(b, s.outputs * pixels * lanes, [&](std::int64_t from, std::int64_t to) {
        Kernels<T>::normalise(s, h.const_data_ptr<T>(), scale.const_data_ptr<T>(), shift.const_data_ptr<T>(), y.data_ptr<T>(), from, to);
      });
      ctx->save_for_backward({x, dw, pw, gamma, a, h, mean, inverse});
      ctx->saved_data["s"] = std::vector<std::int64_t>{training, relu, stride, padding, dilation};
      return y;
    });
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    const auto saved = ctx->get_saved_variables();
    const auto &x = saved[0], &dw = saved[1], &pw = saved[2], &gamma = saved[3], &a = saved[4], &h = saved[5], &mean = saved[6],
               &inverse = saved[7];
    const auto how = ctx->saved_data["s"].toIntVector();
    TORCH_CHECK(!at::GradMode::is_enabled(), "naslab: the gradient of a stage cannot be differentiated again");
    TORCH_CHECK(how[0] != 0, "naslab: a stage that scores has no gradient");
    const Shape s = shape(x, dw, pw, how[1] != 0, how[2], how[3], how[4]);
    const auto g = gradients[0].contiguous();
    const bool want_x = ctx->needs_input_grad(0), want_dw = dw.defined() && ctx->needs_input_grad(1);
    const bool want_pw = ctx->needs_input_grad(dw.defined() ? 2 : 1);
    return by_kind(x, [&](auto zero) -> variable_list {
      using T = decltype(zero);
      const std::int64_t b = blocks<T>(s), channels = s.window.channels, pixels = s.pixels();
      const auto dh = at::empty_like(h), dgamma = at::empty({s.outputs}, x.options()), dbeta = at::empty({s.outputs}, x.options());
      const auto none = at::Tensor();
      const auto dpw = want_pw ? at::empty_like(pw) : none;
      share(s.outputs, s.window.images * pixels * (channels + 4), [&](std::int64_t from, std::int64_t to) {
        Kernels<T>::norm_back(s, g.const_data_ptr<T>(), a.const_data_ptr<T>(), h.const_data_ptr<T>(), mean.const_data_ptr<double>(),
                              inverse.const_data_ptr<double>(), data_or_null<T>(gamma), dh.data_ptr<T>(), dgamma.data_ptr<T>(),
                              dbeta.data_ptr<T>(), want_pw ? dpw.data_ptr<T>() : nullptr, from, to);
      });
      const auto dx = want_x ? at::empty_like(x) : none, ddw = want_dw ? at::empty_like(dw) : none;
      if (want_x || want_dw) {
        const auto da = at::empty_like(a);
        share(b, pixels * channels * s.outputs * Vector<T>::lanes, [&](std::int64_t from, std::int64_t to) {
          Kernels<T>::pointwise_back(s, dh.const_data_ptr<T>(), pw.const_data_ptr<T>(), da.data_ptr<T>(), from, to);
        });
        share(channels, s.window.images * pixels * s.window.kernel * s.window.kernel, [&](std::int64_t from, std::int64_t to) {
          Kernels<T>::input_back(s, da.const_data_ptr<T>(), x.const_data_ptr<T>(), data_or_null<T>(dw), want_x ? dx.data_ptr<T>() : nullptr,
                                 want_dw ? ddw.data_ptr<T>() : nullptr, from, to);
        });
      }
      return {dx, ddw, dpw, gamma.defined() ? dgamma : none, gamma.defined() ? dbeta : none, none, none, none, none, none, none, none};
    });
  }
};

std::optional<at::Tensor> or_none(const at::Tensor *t) { return t != nullptr ? std::optional<at::Tensor>(*t) : std::nullopt; }

} // namespace

extern "C" at::Tensor *naslab_stage(const at::Tensor *x, const at::Tensor *dw, const at::Tensor *pw, const at::Tensor *gamma,
                                    const at::Tensor *beta, const at::Tensor *mean, const at::Tensor *var, bool training, bool relu,
                                    std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  if (!training && at::GradMode::is_enabled() && (x->requires_grad() || pw->requires_grad())) {
    // Not for these kernels, and no error.
    naslab::last_error().clear();
    return nullptr;
  }
  return naslab::guarded([&] {
    return Stage::apply(*x, or_none(dw), *pw, or_none(gamma), or_none(beta), *mean, *var, training, relu, stride, padding, dilation);
  });
}
