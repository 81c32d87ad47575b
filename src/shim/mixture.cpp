// The sum that a node of a cell network is: terms are maps times a coefficient, or chains of stages (ReLU, depthwise convolution, pointwise
// convolution, batch norm) times a coefficient. Forward and gradient in one pass over blocks of images.
//
// Of a stage only what the pointwise convolution gives is kept for the gradient; batch norm and ReLU of a stage in the middle of a chain are
// applied where the next one reads, and the coefficient is part of the last batch norm's scale. The gradient of the weights, where it is
// wanted, convolves depthwise once more instead of having kept it.

#include "tensors.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace {

using naslab::as_vectors;
using naslab::blocks;
using naslab::by_kind;
using naslab::EPSILON;
using naslab::MOMENTUM;
using naslab::plus_lanes;
using naslab::Planes;
using naslab::Vector;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Pixels that are convolved at a time, so that their channels stay in the cache.
constexpr std::int64_t PIXELS = 256;
// Put between the channels of a buffer, so that they do not fall on the same lines of the cache.
constexpr std::int64_t GAP = 4;

// Maps [block][channel][row][column][lane] of `channels` channels.
struct Map {
  std::int64_t channels, height, width;
  std::int64_t plane() const { return height * width; }
  std::int64_t block() const { return channels * plane(); }
};

struct Stage {
  std::int64_t kernel, stride, dilation, shift;
  bool relu;
  // First channel of the sum that it adds to.
  std::int64_t first;
  Map in, out;
  // Positions among the inputs; -1 where there is none. `gamma` is followed by the shift.
  std::int64_t depthwise, pointwise, gamma;
  // Position of the running mean among the statistics, followed by the variance.
  std::int64_t running;

  // Of the window's top left corner over the map.
  std::int64_t corner() const { return shift - dilation * (kernel - 1) / 2; }
  bool convolves() const { return depthwise >= 0 || stride != 1 || shift != 0; }
  std::int64_t work() const { return out.plane() * in.channels * (out.channels + kernel * kernel); }
};

struct Term {
  std::int64_t source, coefficient;
  std::vector<Stage> stages;
};

struct Plan {
  std::int64_t images, sources;
  bool training, nchw;
  // Position of the coefficients among the inputs; -1 where there are none.
  std::int64_t coefficients;
  std::vector<Map> maps;
  Map out;
  std::vector<Term> terms;

  // From numbers as `blocked.rs` writes them.
  Plan(const std::vector<std::int64_t> &numbers, const variable_list &inputs) {
    auto at = numbers.begin();
    sources = *at++;
    const bool mixes = *at++ != 0;
    training = *at++ != 0;
    nchw = *at++ != 0;
    images = *at++;
    coefficients = mixes ? sources : -1;
    for (std::int64_t i = 0; i < sources; ++i) {
      const auto &x = inputs[static_cast<std::size_t>(i)];
      TORCH_CHECK(x.dim() == (nchw ? 4 : 5), "naslab: not maps of images");
      maps.push_back({x.size(1), x.size(2), x.size(3)});
      TORCH_CHECK(x.size(0) == inputs[0].size(0), "naslab: sources of a sum have as many images");
    }
    out = {0, 0, 0};
    std::int64_t position = sources + (mixes ? 1 : 0), running = 0;
    while (at != numbers.end()) {
      Term term{*at, *(at + 1), {}};
      TORCH_CHECK(term.source >= 0 && term.source < sources, "naslab: a term names a source that is not there");
      TORCH_CHECK(term.coefficient < (mixes ? inputs[static_cast<std::size_t>(sources)].numel() : 0),
                  "naslab: a term names a coefficient that is not there");
      const std::int64_t count = *(at + 2);
      at += 3;
      Map map = maps[static_cast<std::size_t>(term.source)];
      std::int64_t channels = map.channels;
      for (std::int64_t i = 0; i < count; ++i, at += 7) {
        Stage s{};
        s.stride = at[0], s.dilation = at[1], s.shift = at[2], s.relu = at[3] != 0, s.first = at[4];
        TORCH_CHECK(s.stride > 0 && s.dilation > 0 && s.shift >= 0 && s.first >= 0, "naslab: stride and dilation are positive");
        s.depthwise = at[5] != 0 ? position++ : -1;
        s.pointwise = position++;
        s.gamma = at[6] != 0 ? position : -1;
        position += at[6] != 0 ? 2 : 0;
        s.running = running;
        running += 2;
        s.kernel = 1;
        if (s.depthwise >= 0) {
          const auto &w = inputs[static_cast<std::size_t>(s.depthwise)];
          TORCH_CHECK(w.dim() == 4 && w.size(0) == map.channels && w.size(1) == 1 && w.size(2) == w.size(3) && w.size(3) % 2 == 1,
                      "naslab: a depthwise kernel is [C, 1, K, K], K odd");
          TORCH_CHECK(s.shift == 0, "naslab: only maps that are not convolved depthwise are shifted");
          s.kernel = w.size(3);
        }
        const auto &w = inputs[static_cast<std::size_t>(s.pointwise)];
        TORCH_CHECK(w.dim() == 4 && w.size(1) == map.channels && w.size(2) == 1 && w.size(3) == 1,
                    "naslab: a pointwise kernel is [C', C, 1, 1]");
        for (std::int64_t i = 0; i < 2 && s.gamma >= 0; ++i) {
          TORCH_CHECK(inputs[static_cast<std::size_t>(s.gamma + i)].numel() == w.size(0), "naslab: scale and shift are one number a channel");
        }
        s.in = map;
        map = s.out = {w.size(0), (map.height - 1) / s.stride + 1, (map.width - 1) / s.stride + 1};
        channels = s.first + map.channels;
        term.stages.push_back(s);
      }
      TORCH_CHECK(out.height == 0 || (out.height == map.height && out.width == map.width), "naslab: terms of a sum have one size");
      out = {std::max(out.channels, channels), map.height, map.width};
      terms.push_back(std::move(term));
    }
    for (const auto &term : terms) {
      TORCH_CHECK(!term.stages.empty() || maps[static_cast<std::size_t>(term.source)].channels == out.channels,
                  "naslab: a source that is a term has the channels of the sum");
    }
  }

  std::int64_t stages() const {
    std::size_t most = 0;
    for (const auto &t : terms) {
      most = std::max(most, t.stages.size());
    }
    return static_cast<std::int64_t>(most);
  }
};

// A stage with its numbers.
template <class T> struct Run {
  const Stage *s;
  std::int64_t images;
  // Maps of blocks; what the stage before still has to do to them is in `scale` and `shift`.
  const T *x, *scale, *shift;
  const T *depthwise, *pointwise;
  // What the pointwise convolution gives.
  T *h;
  // Its mean and 1 / standard deviation, a number a channel, as the gradient needs them.
  const T *mean, *inverse;
  // y = gain * (h - mean) * inverse + anything.
  const T *gain;
  // Mean over all images of the gradient, and of the gradient times the normalised map.
  const T *gradient_mean, *gradient_slope;
  // Gradient of y: the channels from `gradient_first` on of `gradient_channels`.
  const T *gradient;
  std::int64_t gradient_channels, gradient_first;
  // Where the gradients go; null where they are not wanted. That of the input is added to; those of the weights are one a block.
  T *to_x, *to_depthwise, *to_pointwise;

  std::int64_t valid(std::int64_t block) const { return std::min(Vector<T>::lanes, images - block * Vector<T>::lanes); }
};

// outs[o][p] = sum over c of w[o * o_step + c * c_step] * ins[c][p]
template <class T>
NASLAB_INLINE void multiply(const typename Vector<T>::type *ins, std::int64_t in_step, const T *w, std::int64_t o_step, std::int64_t c_step,
                            std::int64_t inputs, std::int64_t outputs, std::int64_t pixels, typename Vector<T>::type *outs,
                            std::int64_t out_step) {
  using V = typename Vector<T>::type;
  std::int64_t p = 0;
  for (; p + 4 <= pixels; p += 4) {
    for (std::int64_t o = 0; o < outputs; o += 2) {
      const bool pair = o + 1 < outputs;
      const T *w0 = w + o * o_step, *w1 = pair ? w0 + o_step : w0;
      V a0{}, a1{}, a2{}, a3{}, b0{}, b1{}, b2{}, b3{};
      const V *in = ins + p;
      for (std::int64_t c = 0; c < inputs; ++c, in += in_step) {
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
      V *to = outs + o * out_step + p;
      to[0] = a0;
      to[1] = a1;
      to[2] = a2;
      to[3] = a3;
      if (pair) {
        to += out_step;
        to[0] = b0;
        to[1] = b1;
        to[2] = b2;
        to[3] = b3;
      }
    }
  }
  for (; p < pixels; ++p) {
    for (std::int64_t o = 0; o < outputs; o += 4) {
      const std::int64_t last = outputs - 1;
      const T *w0 = w + o * o_step, *w1 = w + std::min(o + 1, last) * o_step, *w2 = w + std::min(o + 2, last) * o_step,
              *w3 = w + std::min(o + 3, last) * o_step;
      V a{}, b{}, c{}, d{};
      const V *in = ins + p;
      for (std::int64_t i = 0; i < inputs; ++i, in += in_step) {
        const V x = *in;
        a += w0[i * c_step] * x;
        b += w1[i * c_step] * x;
        c += w2[i * c_step] * x;
        d += w3[i * c_step] * x;
      }
      V *to = outs + o * out_step + p;
      to[0] = a;
      if (o + 1 < outputs) {
        to[out_step] = b;
      }
      if (o + 2 < outputs) {
        to[2 * out_step] = c;
      }
      if (o + 3 < outputs) {
        to[3 * out_step] = d;
      }
    }
  }
}

// sums[o][c] += sum over p of d[o][p] * a[c][p]
template <class T>
NASLAB_INLINE void multiply_transposed(const typename Vector<T>::type *d, const typename Vector<T>::type *a, std::int64_t step,
                                       std::int64_t outputs, std::int64_t inputs, std::int64_t pixels, typename Vector<T>::type *sums) {
  using V = typename Vector<T>::type;
  constexpr std::int64_t TILE = 32;
  for (std::int64_t start = 0; start < pixels; start += TILE) {
    const std::int64_t end = std::min(start + TILE, pixels);
    std::int64_t o = 0;
    for (; o + 2 <= outputs; o += 2) {
      const V *d0 = d + o * step, *d1 = d0 + step;
      V *to0 = sums + o * inputs, *to1 = to0 + inputs;
      std::int64_t c = 0;
      for (; c + 4 <= inputs; c += 4) {
        const V *i0 = a + c * step, *i1 = i0 + step, *i2 = i1 + step, *i3 = i2 + step;
        V a0{}, a1{}, a2{}, a3{}, b0{}, b1{}, b2{}, b3{};
        for (std::int64_t p = start; p < end; ++p) {
          const V u = d0[p], v = d1[p];
          a0 += u * i0[p];
          a1 += u * i1[p];
          a2 += u * i2[p];
          a3 += u * i3[p];
          b0 += v * i0[p];
          b1 += v * i1[p];
          b2 += v * i2[p];
          b3 += v * i3[p];
        }
        to0[c] += a0;
        to0[c + 1] += a1;
        to0[c + 2] += a2;
        to0[c + 3] += a3;
        to1[c] += b0;
        to1[c + 1] += b1;
        to1[c + 2] += b2;
        to1[c + 3] += b3;
      }
      for (; c < inputs; ++c) {
        V u{}, v{};
        for (std::int64_t p = start; p < end; ++p) {
          u += d0[p] * a[c * step + p];
          v += d1[p] * a[c * step + p];
        }
        to0[c] += u;
        to1[c] += v;
      }
    }
    for (; o < outputs; ++o) {
      for (std::int64_t c = 0; c < inputs; ++c) {
        V u{};
        for (std::int64_t p = start; p < end; ++p) {
          u += d[o * step + p] * a[c * step + p];
        }
        sums[o * inputs + c] += u;
      }
    }
  }
}

// Rows [row, row + rows) of what the pointwise convolution reads, [channel][pixel], channels `step` apart.
template <class T>
NASLAB_INLINE void read(const Run<T> &r, std::int64_t block, std::int64_t row, std::int64_t rows, typename Vector<T>::type *out,
                        std::int64_t step, Planes<T> &buffer) {
  const Stage &s = *r.s;
  const T one = 1;
  const std::int64_t reach = s.dilation * (s.kernel - 1) + 1;
  const std::int64_t tall = (rows - 1) * s.stride + reach, wide = (s.out.width - 1) * s.stride + reach;
  for (std::int64_t c = 0; c < s.in.channels; ++c) {
    const auto *plane = as_vectors(r.x) + (block * s.in.channels + c) * s.in.plane();
    const T *scale = r.scale != nullptr ? r.scale + c : nullptr, *shift = r.shift != nullptr ? r.shift + c : nullptr;
    if (!s.convolves()) {
      naslab::cut<T>(out + c * step, plane, s.in.height, s.in.width, row, rows, 0, s.in.width, scale, shift, s.relu);
      continue;
    }
    auto *window = buffer.resize(tall * wide);
    naslab::cut<T>(window, plane, s.in.height, s.in.width, row * s.stride + s.corner(), tall, s.corner(), wide, scale, shift, s.relu);
    const T *w = s.depthwise >= 0 ? r.depthwise + c * s.kernel * s.kernel : &one;
    naslab::correlate<T>(window, wide, w, s.kernel, s.stride, s.dilation, out + c * step, rows, s.out.width);
  }
}

NASLAB_INLINE std::int64_t rows_at_a_time(const Map &out) { return std::clamp<std::int64_t>(PIXELS / out.width, 1, out.height); }

// What the stage makes of block `block` before the batch norm, and sum and mean square (around the block's mean) of its channels.
template <class T> NASLAB_INLINE void forward_block(const Run<T> &r, std::int64_t block, double *sums, double *squares) {
  using V = typename Vector<T>::type;
  thread_local Planes<T> buffer, middle;
  const Stage &s = *r.s;
  const std::int64_t most = rows_at_a_time(s.out), step = most * s.out.width + GAP, pixels = s.out.plane();
  V *a = middle.resize(s.in.channels * step);
  V *h = as_vectors(r.h) + block * s.out.block();
  for (std::int64_t row = 0; row < s.out.height; row += most) {
    const std::int64_t rows = std::min(most, s.out.height - row);
    read<T>(r, block, row, rows, a, step, buffer);
    multiply<T>(a, step, r.pointwise, s.in.channels, 1, s.in.channels, s.out.channels, rows * s.out.width, h + row * s.out.width, pixels);
  }
  if (sums == nullptr) {
    return;
  }
  const std::int64_t lanes = r.valid(block);
  for (std::int64_t o = 0; o < s.out.channels; ++o) {
    const V *at = h + o * pixels;
    V part{}, square{};
    for (std::int64_t p = 0; p < pixels; ++p) {
      part += at[p];
    }
    sums[o] = plus_lanes(0.0, part, lanes);
    const T mean = static_cast<T>(sums[o] / static_cast<double>(lanes * pixels));
    for (std::int64_t p = 0; p < pixels; ++p) {
      const V d = at[p] - mean;
      square += d * d;
    }
    squares[o] = plus_lanes(0.0, square, lanes);
  }
}

// Sums over a block of the gradient `g` of y and of the gradient times the normalised map, by channel.
template <class T>
NASLAB_INLINE void gradient_sums(const Run<T> &r, const T *g, std::int64_t channels, std::int64_t first, std::int64_t block, double *plain,
                                 double *sloped) {
  using V = typename Vector<T>::type;
  const std::int64_t pixels = r.s->out.plane(), lanes = r.valid(block);
  for (std::int64_t o = 0; o < r.s->out.channels; ++o) {
    const V *at = as_vectors(g) + (block * channels + first + o) * pixels;
    const V *h = as_vectors(r.h) + (block * r.s->out.channels + o) * pixels;
    V sum{}, product{};
    for (std::int64_t p = 0; p < pixels; ++p) {
      sum += at[p];
      product += at[p] * (h[p] - r.mean[o]);
    }
    plain[o] = plus_lanes(0.0, sum, lanes);
    sloped[o] = plus_lanes(0.0, product, lanes) * static_cast<double>(r.inverse[o]);
  }
}

// The gradient of a stage for one block.
template <class T> NASLAB_INLINE void backward_block(const Run<T> &r, std::int64_t block) {
  using V = typename Vector<T>::type;
  thread_local Planes<T> buffer, middle, convolved, inner, wide, back, weights, taps;
  const Stage &s = *r.s;
  const std::int64_t inputs = s.in.channels, outputs = s.out.channels, pixels = s.out.plane();
  const std::int64_t most = rows_at_a_time(s.out), step = most * s.out.width + GAP, lanes = r.valid(block);
  const bool want_inner = r.to_x != nullptr || r.to_depthwise != nullptr;
  V *dh = middle.resize(outputs * step);
  V *a = r.to_pointwise != nullptr ? convolved.resize(inputs * step) : nullptr;
  V *sums = r.to_pointwise != nullptr ? weights.filled(outputs * inputs, T(0)) : nullptr;
  const std::int64_t inner_step = pixels + GAP;
  V *da = want_inner ? inner.resize(inputs * inner_step) : nullptr;
  for (std::int64_t row = 0; row < s.out.height; row += most) {
    const std::int64_t rows = std::min(most, s.out.height - row), n = rows * s.out.width, start = row * s.out.width;
    for (std::int64_t o = 0; o < outputs; ++o) {
      const V *g = as_vectors(r.gradient) + (block * r.gradient_channels + r.gradient_first + o) * pixels + start;
      const V *h = as_vectors(r.h) + (block * outputs + o) * pixels + start;
      V gain{};
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        gain[lane] = r.gain[o] * r.inverse[o];
      }
      const T mean = r.mean[o], slope = r.inverse[o] * r.gradient_slope[o], flat = r.gradient_mean[o];
      V *to = dh + o * step;
      for (std::int64_t p = 0; p < n; ++p) {
        to[p] = gain * ((g[p] - flat) - (h[p] - mean) * slope);
      }
    }
    if (want_inner) {
      multiply<T>(dh, step, r.pointwise, 1, inputs, outputs, inputs, n, da + start, inner_step);
    }
    if (r.to_pointwise != nullptr) {
      read<T>(r, block, row, rows, a, step, buffer);
      multiply_transposed<T>(dh, a, step, outputs, inputs, n, sums);
    }
  }
  if (r.to_pointwise != nullptr) {
    T *to = r.to_pointwise + block * outputs * inputs;
    for (std::int64_t i = 0; i < outputs * inputs; ++i) {
      to[i] = plus_lanes(T(0), sums[i], lanes);
    }
  }
  if (!want_inner) {
    return;
  }
  const T one = 1;
  const std::int64_t area = s.kernel * s.kernel, reach = s.dilation * (s.kernel - 1) + 1, corner = s.corner();
  const std::int64_t tall = (s.out.height - 1) * s.stride + reach, broad = (s.out.width - 1) * s.stride + reach;
  std::vector<T> flipped(static_cast<std::size_t>(area));
  for (std::int64_t c = 0; c < inputs; ++c) {
    const V *gradient = da + c * inner_step;
    const V *plane = as_vectors(r.x) + (block * inputs + c) * s.in.plane();
    const T *scale = r.scale != nullptr ? r.scale + c : nullptr, *shift = r.shift != nullptr ? r.shift + c : nullptr;
    if (r.to_depthwise != nullptr) {
      V *window = buffer.resize(tall * broad);
      naslab::cut<T>(window, plane, s.in.height, s.in.width, corner, tall, corner, broad, scale, shift, s.relu);
      V *by_tap = taps.filled(area, T(0));
      naslab::gather_taps<T>(window, broad, gradient, s.kernel, s.stride, s.dilation, by_tap, s.out.height, s.out.width);
      for (std::int64_t k = 0; k < area; ++k) {
        r.to_depthwise[(block * inputs + c) * area + k] = plus_lanes(T(0), by_tap[k], lanes);
      }
    }
    if (r.to_x == nullptr) {
      continue;
    }
    // Row i and column j of the map are row i - top and column j - left of `result`, which has `across` columns and `down` rows.
    const V *result = gradient;
    std::int64_t top = 0, left = 0, across = s.out.width, down = s.out.height;
    const T *w = s.depthwise >= 0 ? r.depthwise + c * area : &one;
    if (s.stride == 1 && s.kernel > 1) {
      // A correlation with the flipped kernel over a bordered gradient.
      std::reverse_copy(w, w + area, flipped.begin());
      const std::int64_t width = s.in.width + reach - 1, height = s.in.height + reach - 1;
      V *bordered = wide.resize(width * height);
      naslab::cut<T>(bordered, gradient, s.out.height, s.out.width, corner, height, corner, width, nullptr, nullptr, false);
      V *to = back.resize(s.in.plane());
      naslab::correlate<T>(bordered, width, flipped.data(), s.kernel, 1, s.dilation, to, s.in.height, s.in.width);
      result = to;
    } else if (s.convolves()) {
      V *to = back.filled(tall * broad, T(0));
      naslab::scatter<T>(to, broad, w, gradient, s.kernel, s.stride, s.dilation, s.out.height, s.out.width);
      result = to, top = left = corner, across = broad, down = tall;
    }
    V *to = as_vectors(r.to_x) + (block * inputs + c) * s.in.plane();
    const std::int64_t from = std::max<std::int64_t>(left, 0), until = std::min(left + across, s.in.width);
    for (std::int64_t i = std::max<std::int64_t>(top, 0); i < std::min(top + down, s.in.height); ++i) {
      const V *in = plane + i * s.in.width, *added = result + (i - top) * across - left;
      V *out = to + i * s.in.width;
      if (!s.relu) {
        for (std::int64_t j = from; j < until; ++j) {
          out[j] += added[j];
        }
      } else if (scale != nullptr) {
        for (std::int64_t j = from; j < until; ++j) {
          out[j] += in[j] * *scale + *shift > V{} ? added[j] : V{};
        }
      } else {
        for (std::int64_t j = from; j < until; ++j) {
          out[j] += in[j] > V{} ? added[j] : V{};
        }
      }
    }
  }
}

// y += x * scale + shift over a channel of a block; without `scale` y += x * shift.
template <class T> NASLAB_INLINE void add(T *y, const T *x, std::int64_t pixels, const T *scale, T shift) {
  auto *to = as_vectors(y);
  const auto *from = as_vectors(x);
  if (scale != nullptr) {
    for (std::int64_t p = 0; p < pixels; ++p) {
      to[p] += from[p] * *scale + shift;
    }
  } else {
    for (std::int64_t p = 0; p < pixels; ++p) {
      to[p] += from[p] * shift;
    }
  }
}

// Sum of products of two maps' blocks.
template <class T> NASLAB_INLINE double inner(const T *a, const T *b, std::int64_t vectors, std::int64_t lanes) {
  using V = typename Vector<T>::type;
  V sums[4]{};
  const V *u = as_vectors(a), *v = as_vectors(b);
  for (std::int64_t i = 0; i < vectors; ++i) {
    sums[i % 4] += u[i] * v[i];
  }
  return plus_lanes(0.0, (sums[0] + sums[1]) + (sums[2] + sums[3]), lanes);
}

// Images [N, C, H, W] to blocks and back.
template <class T> NASLAB_INLINE void to_block(const T *x, T *to, const Map &map, std::int64_t images, std::int64_t block) {
  constexpr std::int64_t L = Vector<T>::lanes;
  const std::int64_t count = std::min(L, images - block * L), size = map.block();
  T *out = to + block * size * L;
  const T *in = x + block * L * size;
  if (count < L) {
    std::fill(out, out + size * L, T(0));
  }
  for (std::int64_t start = 0; start < size; start += 64) {
    const std::int64_t end = std::min(start + 64, size);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      for (std::int64_t i = start; i < end; ++i) {
        out[i * L + lane] = in[lane * size + i];
      }
    }
  }
}

template <class T> NASLAB_INLINE void from_block(const T *x, T *to, const Map &map, std::int64_t images, std::int64_t block) {
  constexpr std::int64_t L = Vector<T>::lanes;
  const std::int64_t count = std::min(L, images - block * L), size = map.block();
  const T *in = x + block * size * L;
  T *out = to + block * L * size;
  for (std::int64_t start = 0; start < size; start += 64) {
    const std::int64_t end = std::min(start + 64, size);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      for (std::int64_t i = start; i < end; ++i) {
        out[lane * size + i] = in[i * L + lane];
      }
    }
  }
}

#define NASLAB_MIXTURE_FOR(T, NAME)                                                                                                        \
  NASLAB_CLONES void forward_##NAME(const Run<T> &r, std::int64_t block, double *sums, double *squares) {                                  \
    forward_block<T>(r, block, sums, squares);                                                                                             \
  }                                                                                                                                        \
  NASLAB_CLONES void sums_##NAME(const Run<T> &r, const T *g, std::int64_t channels, std::int64_t first, std::int64_t block, double *plain, \
                                 double *sloped) {                                                                                         \
    gradient_sums<T>(r, g, channels, first, block, plain, sloped);                                                                         \
  }                                                                                                                                        \
  NASLAB_CLONES void backward_##NAME(const Run<T> &r, std::int64_t block) { backward_block<T>(r, block); }                                 \
  NASLAB_CLONES void add_##NAME(T *y, const T *x, std::int64_t pixels, const T *scale, T shift) { add<T>(y, x, pixels, scale, shift); }    \
  NASLAB_CLONES double inner_##NAME(const T *a, const T *b, std::int64_t vectors, std::int64_t lanes) {                                    \
    return inner<T>(a, b, vectors, lanes);                                                                                                 \
  }                                                                                                                                        \
  NASLAB_CLONES void to_block_##NAME(const T *x, T *to, const Map &map, std::int64_t images, std::int64_t block) {                         \
    to_block<T>(x, to, map, images, block);                                                                                                \
  }                                                                                                                                        \
  NASLAB_CLONES void from_block_##NAME(const T *x, T *to, const Map &map, std::int64_t images, std::int64_t block) {                       \
    from_block<T>(x, to, map, images, block);                                                                                              \
  }

NASLAB_MIXTURE_FOR(float, float)
NASLAB_MIXTURE_FOR(double, double)

#define NASLAB_KERNELS(T, NAME)                                                                                                            \
  template <> struct Kernels<T> {                                                                                                          \
    static constexpr auto forward = forward_##NAME;                                                                                        \
    static constexpr auto sums = sums_##NAME;                                                                                              \
    static constexpr auto backward = backward_##NAME;                                                                                      \
    static constexpr auto add = add_##NAME;                                                                                                \
    static constexpr auto inner = inner_##NAME;                                                                                            \
    static constexpr auto to_block = to_block_##NAME;                                                                                      \
    static constexpr auto from_block = from_block_##NAME;                                                                                  \
  };

template <class T> struct Kernels;
NASLAB_KERNELS(float, float)
NASLAB_KERNELS(double, double)

template <class T> at::Tensor empty_map(const Map &map, std::int64_t images, const at::Tensor &like) {
  return at::empty({blocks<T>(images), map.channels, map.height, map.width, Vector<T>::lanes}, like.options());
}

template <class T> at::Tensor to_blocks(const at::Tensor &images, const Map &map) {
  const auto x = images.contiguous();
  const at::Tensor out = empty_map<T>(map, x.size(0), x);
  naslab::share(blocks<T>(x.size(0)), map.block() * Vector<T>::lanes, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t b = from; b < to; ++b) {
      Kernels<T>::to_block(x.const_data_ptr<T>(), out.data_ptr<T>(), map, x.size(0), b);
    }
  });
  return out;
}

template <class T> at::Tensor from_blocks(const at::Tensor &x, const Map &map, std::int64_t images) {
  const at::Tensor out = at::empty({images, map.channels, map.height, map.width}, x.options());
  naslab::share(blocks<T>(images), map.block() * Vector<T>::lanes, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t b = from; b < to; ++b) {
      Kernels<T>::from_block(x.const_data_ptr<T>(), out.data_ptr<T>(), map, images, b);
    }
  });
  return out;
}

// What a stage is remembered by: `h`, and a row each of mean, inverse, gain, and the scale and shift that make y of h.
struct Kept {
  at::Tensor h, numbers;
  template <class T> const T *row(std::int64_t i) const { return numbers.const_data_ptr<T>() + i * numbers.size(1); }
};
enum Row : std::int64_t { MEAN, INVERSE, GAIN, SCALE, SHIFT, ROWS };

// A mixture in progress: its plan, its inputs, its maps in blocks, and what its stages are remembered by.
template <class T> struct Mixture {
  const Plan &plan;
  variable_list inputs, maps;
  std::vector<std::vector<Kept>> kept;

  static constexpr std::int64_t L = Vector<T>::lanes;

  Mixture(const Plan &plan, const variable_list &given) : plan(plan), inputs(given) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(inputs.size()); ++i) {
      auto &x = inputs[static_cast<std::size_t>(i)];
      x = x.contiguous();
      if (i < plan.sources) {
        const auto &map = plan.maps[static_cast<std::size_t>(i)];
        maps.push_back(plan.nchw ? to_blocks<T>(x, map) : x);
      }
    }
  }

  const T *input(std::int64_t position) const {
    return position < 0 ? nullptr : inputs[static_cast<std::size_t>(position)].template const_data_ptr<T>();
  }
  const T *map(std::int64_t source) const { return maps[static_cast<std::size_t>(source)].template const_data_ptr<T>(); }
  std::int64_t block_count() const { return blocks<T>(plan.images); }
  std::int64_t lanes(std::int64_t block) const { return std::min(L, plan.images - block * L); }
  double pixels(const Stage &s) const { return static_cast<double>(plan.images * s.out.plane()); }
  double coefficient(const Term &t) const {
    return t.coefficient < 0 ? 1.0 : static_cast<double>(input(plan.coefficients)[t.coefficient]);
  }

  Run<T> run(std::size_t term, std::size_t stage) const {
    const auto &s = plan.terms[term].stages[stage];
    const auto &own = kept[term][stage];
    Run<T> r{};
    r.s = &s;
    r.images = plan.images;
    if (stage == 0) {
      r.x = map(plan.terms[term].source);
    } else {
      const auto &before = kept[term][stage - 1];
      r.x = before.h.template const_data_ptr<T>();
      r.scale = before.template row<T>(SCALE);
      r.shift = before.template row<T>(SHIFT);
    }
    r.depthwise = input(s.depthwise);
    r.pointwise = input(s.pointwise);
    r.h = own.h.template data_ptr<T>();
    r.mean = own.template row<T>(MEAN);
    r.inverse = own.template row<T>(INVERSE);
    r.gain = own.template row<T>(GAIN);
    return r;
  }

  at::Tensor forward(const std::vector<at::Tensor> &running) {
    const std::int64_t count = block_count();
    kept.resize(plan.terms.size());
    for (std::int64_t level = 0; level < plan.stages(); ++level) {
      std::vector<std::size_t> terms;
      std::int64_t work = 0, widest = 0;
      for (std::size_t t = 0; t < plan.terms.size(); ++t) {
        if (level < static_cast<std::int64_t>(plan.terms[t].stages.size())) {
          const auto &s = plan.terms[t].stages[static_cast<std::size_t>(level)];
          kept[t].push_back({empty_map<T>(s.out, plan.images, inputs[0]), at::empty({ROWS, s.out.channels}, inputs[0].options())});
          terms.push_back(t);
          work += s.work() * L;
          widest = std::max(widest, s.out.channels);
        }
      }
      const auto all = static_cast<std::int64_t>(terms.size());
      std::vector<double> sums(static_cast<std::size_t>(all * count * widest)), squares(sums.size());
      naslab::share(all * count, work / all, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t i = from; i < to; ++i) {
          // All terms of a block, then the next block: so the threads' shares are alike.
          const std::int64_t term = i % all, block = i / all, at = (term * count + block) * widest;
          const auto r = run(terms[static_cast<std::size_t>(term)], static_cast<std::size_t>(level));
          Kernels<T>::forward(r, block, plan.training ? sums.data() + at : nullptr, squares.data() + at);
        }
      });
      for (std::size_t i = 0; i < terms.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i) * count * widest;
        normalise(terms[i], static_cast<std::size_t>(level), sums.data() + at, squares.data() + at, widest, running);
      }
    }
    return sum();
  }

  // Statistics of a stage from those of its blocks, `step` apart.
  void normalise(std::size_t term, std::size_t level, const double *sums, const double *squares, std::int64_t step,
                 const std::vector<at::Tensor> &running) {
    const Term &t = plan.terms[term];
    const Stage &s = t.stages[level];
    T *mean = running[static_cast<std::size_t>(s.running)].template data_ptr<T>();
    T *var = running[static_cast<std::size_t>(s.running + 1)].template data_ptr<T>();
    for (std::int64_t i = 0; i < 2; ++i) {
      const auto &r = running[static_cast<std::size_t>(s.running + i)];
      TORCH_CHECK(r.dim() == 1 && r.size(0) == s.out.channels && r.is_contiguous(), "naslab: running statistics are one number a channel");
    }
    const T *gamma = input(s.gamma), *beta = s.gamma < 0 ? nullptr : input(s.gamma + 1);
    const double factor = level + 1 == t.stages.size() ? coefficient(t) : 1.0, all = pixels(s);
    T *numbers = kept[term][level].numbers.template data_ptr<T>();
    for (std::int64_t o = 0; o < s.out.channels; ++o) {
      double m = mean[o], v = var[o];
      if (plan.training) {
        double total = 0, square = 0;
        for (std::int64_t b = 0; b < block_count(); ++b) {
          total += sums[b * step + o];
        }
        m = total / all;
        for (std::int64_t b = 0; b < block_count(); ++b) {
          const double n = static_cast<double>(lanes(b) * s.out.plane()), away = sums[b * step + o] / n - m;
          // The block's squares are around its mean rounded to T, which is the same to the precision of T.
          square += squares[b * step + o] + n * away * away;
        }
        v = square / all;
        mean[o] = static_cast<T>((1 - MOMENTUM) * mean[o] + MOMENTUM * m);
        var[o] = static_cast<T>((1 - MOMENTUM) * var[o] + MOMENTUM * square / std::max(all - 1, 1.0));
      }
      const double inverse = 1 / std::sqrt(v + EPSILON), gain = factor * (gamma != nullptr ? static_cast<double>(gamma[o]) : 1.0);
      const auto set = [&](Row row, double value) { numbers[row * s.out.channels + o] = static_cast<T>(value); };
      set(MEAN, m);
      set(INVERSE, inverse);
      set(GAIN, gain);
      set(SCALE, gain * inverse);
      set(SHIFT, factor * (beta != nullptr ? static_cast<double>(beta[o]) : 0.0) - gain * inverse * m);
    }
  }

  at::Tensor sum() {
    const Map &out = plan.out;
    const auto y = empty_map<T>(out, plan.images, inputs[0]);
    const std::int64_t pixels = out.plane(), count = block_count() * out.channels;
    naslab::share(count, static_cast<std::int64_t>(plan.terms.size()) * pixels * L, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t b = i / out.channels, c = i % out.channels;
        T *plane = y.template data_ptr<T>() + i * pixels * L;
        std::fill(plane, plane + pixels * L, T(0));
        for (std::size_t t = 0; t < plan.terms.size(); ++t) {
          const Term &term = plan.terms[t];
          if (term.stages.empty()) {
            Kernels<T>::add(plane, map(term.source) + i * pixels * L, pixels, nullptr, static_cast<T>(coefficient(term)));
            continue;
          }
          const Stage &s = term.stages.back();
          const std::int64_t o = c - s.first;
          if (o >= 0 && o < s.out.channels) {
            const Kept &k = kept[t].back();
            const T *h = k.h.template const_data_ptr<T>() + (b * s.out.channels + o) * pixels * L;
            Kernels<T>::add(plane, h, pixels, k.template row<T>(SCALE) + o, k.template row<T>(SHIFT)[o]);
          }
        }
      }
    });
    return plan.nchw ? from_blocks<T>(y, out, plan.images) : y;
  }

  // Gradients of all inputs from that of the sum; undefined where `wanted` is false.
  variable_list backward(const at::Tensor &given, const std::vector<bool> &wanted) {
    const auto g = plan.nchw ? to_blocks<T>(given, plan.out) : given.contiguous();
    variable_list out(inputs.size());
    variable_list to_map(static_cast<std::size_t>(plan.sources));
    std::vector<double> coefficients(plan.coefficients < 0 ? 0 : static_cast<std::size_t>(inputs[static_cast<std::size_t>(plan.coefficients)].numel()));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (wanted[i] && i < to_map.size()) {
        to_map[i] = at::zeros_like(maps[i]);
      }
    }
    const bool want_coefficients = plan.coefficients >= 0 && wanted[static_cast<std::size_t>(plan.coefficients)];
    linear_terms(g, to_map, coefficients, want_coefficients);
    // The gradient of what a stage gives: of the sum for the last one, of the next stage's input else.
    variable_list gradients(plan.terms.size(), g);
    std::vector<Totals> totals(plan.terms.size());
    for (std::int64_t level = 0; level < plan.stages(); ++level) {
      sum_gradients(gradients, totals, level);
      std::vector<std::size_t> terms;
      for (std::size_t t = 0; t < plan.terms.size(); ++t) {
        if (stage_at(t, level) >= 0) {
          terms.push_back(t);
        }
      }
      step_back(terms, level, gradients, totals, to_map, coefficients, wanted, out);
    }
    for (std::size_t i = 0; i < to_map.size(); ++i) {
      if (to_map[i].defined()) {
        out[i] = plan.nchw ? from_blocks<T>(to_map[i], plan.maps[i], plan.images) : to_map[i];
      }
    }
    if (want_coefficients) {
      const auto at = static_cast<std::size_t>(plan.coefficients);
      out[at] = at::empty_like(inputs[at]);
      std::copy(coefficients.begin(), coefficients.end(), out[at].template data_ptr<T>());
    }
    return out;
  }

  // Sums over all images of a stage's gradient and of that times the normalised map.
  struct Totals {
    std::vector<double> plain, sloped;
  };

  // Which stage of a term is the `level`-th from its end; negative if there is none.
  std::int64_t stage_at(std::size_t term, std::int64_t level) const {
    return static_cast<std::int64_t>(plan.terms[term].stages.size()) - 1 - level;
  }

  void linear_terms(const at::Tensor &g, variable_list &to_map, std::vector<double> &coefficients, bool want_coefficients) {
    const std::int64_t count = block_count(), size = plan.out.block();
    for (const Term &t : plan.terms) {
      if (!t.stages.empty()) {
        continue;
      }
      const auto &to = to_map[static_cast<std::size_t>(t.source)];
      std::vector<double> parts(static_cast<std::size_t>(count));
      naslab::share(count, size * L, [&](std::int64_t from, std::int64_t until) {
        for (std::int64_t b = from; b < until; ++b) {
          const T *block = g.template const_data_ptr<T>() + b * size * L;
          if (to.defined()) {
            Kernels<T>::add(to.template data_ptr<T>() + b * size * L, block, size, nullptr, static_cast<T>(coefficient(t)));
          }
          if (want_coefficients && t.coefficient >= 0) {
            parts[static_cast<std::size_t>(b)] = Kernels<T>::inner(block, map(t.source) + b * size * L, size, lanes(b));
          }
        }
      });
      for (const double part : parts) {
        if (t.coefficient >= 0) {
          coefficients[static_cast<std::size_t>(t.coefficient)] += part;
        }
      }
    }
  }

  // Totals of the `level`-th stages from the end.
  void sum_gradients(const variable_list &gradients, std::vector<Totals> &totals, std::int64_t level) {
    const std::int64_t count = block_count();
    std::vector<std::size_t> terms;
    std::int64_t widest = 0, work = 0;
    for (std::size_t t = 0; t < plan.terms.size(); ++t) {
      if (stage_at(t, level) >= 0) {
        const auto &s = plan.terms[t].stages[static_cast<std::size_t>(stage_at(t, level))];
        terms.push_back(t);
        widest = std::max(widest, s.out.channels);
        work = std::max(work, s.out.block() * L);
      }
    }
    const auto all = static_cast<std::int64_t>(terms.size());
    std::vector<double> plain(static_cast<std::size_t>(all * count * widest)), sloped(plain.size());
    naslab::share(all * count, work, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t block = i / all, at = (i % all * count + block) * widest;
        const auto t = terms[static_cast<std::size_t>(i % all)];
        const auto stage = static_cast<std::size_t>(stage_at(t, level));
        const Stage &s = plan.terms[t].stages[stage];
        const std::int64_t channels = level == 0 ? plan.out.channels : s.out.channels;
        Kernels<T>::sums(run(t, stage), gradients[t].template const_data_ptr<T>(), channels, level == 0 ? s.first : 0, block,
                         plain.data() + at, sloped.data() + at);
      }
    });
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const auto t = terms[i];
      const auto channels = plan.terms[t].stages[static_cast<std::size_t>(stage_at(t, level))].out.channels;
      totals[t].plain.assign(static_cast<std::size_t>(channels), 0);
      totals[t].sloped.assign(static_cast<std::size_t>(channels), 0);
      for (std::int64_t b = 0; b < count; ++b) {
        for (std::int64_t o = 0; o < channels; ++o) {
          const std::int64_t at = (static_cast<std::int64_t>(i) * count + b) * widest + o;
          totals[t].plain[static_cast<std::size_t>(o)] += plain[static_cast<std::size_t>(at)];
          totals[t].sloped[static_cast<std::size_t>(o)] += sloped[static_cast<std::size_t>(at)];
        }
      }
    }
  }

  // The `level`-th stages from the end of these terms: gradients of their weights, and of what they read.
  void step_back(const std::vector<std::size_t> &terms, std::int64_t level, variable_list &gradients, const std::vector<Totals> &totals,
                 const variable_list &to_map, std::vector<double> &coefficients, const std::vector<bool> &wanted, variable_list &out) {
    const std::int64_t count = block_count();
    std::vector<Run<T>> runs;
    std::vector<at::Tensor> numbers, to_depthwise, to_pointwise;
    variable_list next = gradients;
    std::int64_t work = 0;
    for (const auto t : terms) {
      const auto stage = static_cast<std::size_t>(stage_at(t, level));
      const Term &term = plan.terms[t];
      const Stage &s = term.stages[stage];
      const auto want = [&](std::int64_t position) { return position >= 0 && wanted[static_cast<std::size_t>(position)]; };
      auto r = run(t, stage);
      const auto n = at::empty({2, s.out.channels}, inputs[0].options());
      T *mean = n.template data_ptr<T>(), *slope = mean + s.out.channels;
      const T *gamma = input(s.gamma), *beta = s.gamma < 0 ? nullptr : input(s.gamma + 1);
      const double factor = level == 0 ? coefficient(term) : 1.0;
      double by_coefficient = 0;
      for (std::int64_t o = 0; o < s.out.channels; ++o) {
        const double plain = totals[t].plain[static_cast<std::size_t>(o)], sloped = totals[t].sloped[static_cast<std::size_t>(o)];
        mean[o] = static_cast<T>(plain / pixels(s));
        slope[o] = static_cast<T>(sloped / pixels(s));
        by_coefficient += gamma != nullptr ? static_cast<double>(gamma[o]) * sloped + static_cast<double>(beta[o]) * plain : sloped;
      }
      if (level == 0 && term.coefficient >= 0) {
        coefficients[static_cast<std::size_t>(term.coefficient)] += by_coefficient;
      }
      for (std::int64_t i = 0; i < 2 && s.gamma >= 0; ++i) {
        if (want(s.gamma + i)) {
          const auto &from = i == 0 ? totals[t].sloped : totals[t].plain;
          auto &to = out[static_cast<std::size_t>(s.gamma + i)];
          to = at::empty({s.out.channels}, inputs[0].options());
          std::transform(from.begin(), from.end(), to.template data_ptr<T>(), [&](double v) { return static_cast<T>(v * factor); });
        }
      }
      r.gradient_mean = mean;
      r.gradient_slope = slope;
      r.gradient = gradients[t].template const_data_ptr<T>();
      r.gradient_channels = level == 0 ? plan.out.channels : s.out.channels;
      r.gradient_first = level == 0 ? s.first : 0;
      numbers.push_back(n);
      const auto partial = [&](bool wants, std::int64_t position) {
        return wants ? at::empty({count, inputs[static_cast<std::size_t>(position)].numel()}, inputs[0].options()) : at::Tensor();
      };
      to_depthwise.push_back(partial(want(s.depthwise), s.depthwise));
      to_pointwise.push_back(partial(want(s.pointwise), s.pointwise));
      const auto pointer = [](const at::Tensor &x) { return x.defined() ? x.template data_ptr<T>() : nullptr; };
      r.to_depthwise = pointer(to_depthwise.back());
      r.to_pointwise = pointer(to_pointwise.back());
      if (stage > 0) {
        next[t] = at::zeros_like(kept[t][stage - 1].h);
        r.to_x = next[t].template data_ptr<T>();
      } else {
        r.to_x = pointer(to_map[static_cast<std::size_t>(term.source)]);
      }
      runs.push_back(r);
      work = std::max(work, s.work() * L * 3);
    }
    // Terms of one source add to one map, so they take turns.
    std::vector<std::int64_t> sources;
    for (const auto t : terms) {
      if (std::find(sources.begin(), sources.end(), plan.terms[t].source) == sources.end()) {
        sources.push_back(plan.terms[t].source);
      }
    }
    const auto all = static_cast<std::int64_t>(sources.size());
    naslab::share(all * count, work, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        for (std::size_t k = 0; k < terms.size(); ++k) {
          if (plan.terms[terms[k]].source == sources[static_cast<std::size_t>(i % all)]) {
            Kernels<T>::backward(runs[k], i / all);
          }
        }
      }
    });
    for (std::size_t k = 0; k < terms.size(); ++k) {
      const Stage &s = *runs[k].s;
      total(to_depthwise[k], s.depthwise, out);
      total(to_pointwise[k], s.pointwise, out);
    }
    gradients = std::move(next);
  }

  // Adds the gradients that blocks have of a weight, in their order.
  void total(const at::Tensor &parts, std::int64_t position, variable_list &out) {
    if (!parts.defined()) {
      return;
    }
    auto &to = out[static_cast<std::size_t>(position)];
    to = at::empty_like(inputs[static_cast<std::size_t>(position)]);
    const std::int64_t size = to.numel();
    T *sums = to.template data_ptr<T>();
    const T *from = parts.template const_data_ptr<T>();
    std::copy(from, from + size, sums);
    for (std::int64_t b = 1; b < parts.size(0); ++b) {
      for (std::int64_t i = 0; i < size; ++i) {
        sums[i] += from[b * size + i];
      }
    }
  }
};

class Sum : public torch::autograd::Function<Sum> {
public:
  static at::Tensor forward(AutogradContext *ctx, const at::TensorList &inputs, const std::vector<at::Tensor> &running,
                            const std::vector<std::int64_t> &numbers) {
    at::AutoDispatchBelowADInplaceOrView below;
    RECORD_FUNCTION("naslab::sum", std::vector<c10::IValue>());
    const variable_list given = inputs.vec();
    for (const auto &x : given) {
      TORCH_CHECK(x.scalar_type() == given[0].scalar_type(), "naslab: tensors of one kind");
    }
    const Plan plan(numbers, given);
    return by_kind(given[0], [&](auto zero) {
      Mixture<decltype(zero)> mixture(plan, given);
      const auto y = mixture.forward(running);
      variable_list saved = given;
      for (const auto &term : mixture.kept) {
        for (const auto &stage : term) {
          saved.push_back(stage.h);
          saved.push_back(stage.numbers);
        }
      }
      ctx->save_for_backward(std::move(saved));
      ctx->saved_data["plan"] = numbers;
      ctx->saved_data["inputs"] = static_cast<std::int64_t>(given.size());
      return y;
    });
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    RECORD_FUNCTION("naslab::sum_backward", std::vector<c10::IValue>());
    TORCH_CHECK(!at::GradMode::is_enabled(), "naslab: the gradient of a stage cannot be differentiated again");
    const auto saved = ctx->get_saved_variables();
    const auto count = static_cast<std::ptrdiff_t>(ctx->saved_data["inputs"].toInt());
    const variable_list given(saved.begin(), saved.begin() + count);
    const Plan plan(ctx->saved_data["plan"].toIntVector(), given);
    TORCH_CHECK(plan.training, "naslab: a stage that scores has no gradient");
    std::vector<bool> wanted;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      wanted.push_back(ctx->needs_input_grad(static_cast<std::size_t>(i)));
    }
    auto out = by_kind(given[0], [&](auto zero) {
      Mixture<decltype(zero)> mixture(plan, given);
      auto at = saved.begin() + count;
      for (const auto &term : plan.terms) {
        mixture.kept.emplace_back();
        for (std::size_t i = 0; i < term.stages.size(); ++i, at += 2) {
          mixture.kept.back().push_back({*at, *(at + 1)});
        }
      }
      return mixture.backward(gradients[0], wanted);
    });
    // The statistics and the plan have none.
    out.resize(out.size() + 2);
    return out;
  }
};

} // namespace

// `numbers` describe the terms; see `blocked.rs`. A null pointer without an error where a gradient could be asked for while scoring.
extern "C" at::Tensor *naslab_sum(const at::Tensor *const *inputs, std::int64_t input_count, const at::Tensor *const *running,
                                  std::int64_t running_count, const std::int64_t *numbers, std::int64_t number_count) {
  const bool training = numbers[2] != 0;
  for (std::int64_t i = 0; i < input_count && !training && at::GradMode::is_enabled(); ++i) {
    if (inputs[i]->requires_grad()) {
      // Not for these kernels, and no error.
      naslab::last_error().clear();
      return nullptr;
    }
  }
  return naslab::guarded([&] {
    const auto list = [](const at::Tensor *const *from, std::int64_t count) {
      std::vector<at::Tensor> out;
      for (std::int64_t i = 0; i < count; ++i) {
        out.push_back(*from[i]);
      }
      return out;
    };
    return Sum::apply(at::TensorList(list(inputs, input_count)), list(running, running_count),
                      std::vector<std::int64_t>(numbers, numbers + number_count));
  });
}
