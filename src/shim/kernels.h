// Loops over image planes in which one vector register holds the same pixel of several images. So the loops are equally fast for every size,
// stride and dilation, and the small maps of cell networks fill the registers too.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
// Compiled twice, chosen when the program starts by what the processor can do.
#define NASLAB_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
// For vectors of 64 bytes, where `lanes` finds AVX-512.
#define NASLAB_AVX512 __attribute__((target("arch=x86-64-v4")))
#else
#define NASLAB_CLONES
#endif
#define NASLAB_INLINE inline __attribute__((always_inline))

namespace naslab {

// The form that a kernel has: vectors of so many numbers of one kind. A block is as many images.
template <class Number, std::int64_t Lanes> struct Form {
  static constexpr std::int64_t L = Lanes;
  static constexpr std::int64_t bytes = Lanes * static_cast<std::int64_t>(sizeof(Number));
  using T = Number;
  typedef Number V __attribute__((vector_size(Lanes * sizeof(Number))));
  // Whole numbers as wide, and a vector of them.
  using Index = std::conditional_t<sizeof(Number) == 4, std::int32_t, std::int64_t>;
  typedef Index I __attribute__((vector_size(Lanes * sizeof(Index))));
};
using Float8 = Form<float, 8>;
using Double4 = Form<double, 4>;
using Float16 = Form<float, 16>;
using Double8 = Form<double, 8>;

template <class F> using Num = typename F::T;
template <class F> using Vec = typename F::V;

#define NASLAB_FOR_NARROW(DEFINE)                                                                                                            \
  using naslab::Double4;                                                                                                                     \
  using naslab::Float8;                                                                                                                      \
  DEFINE(Float8, NASLAB_CLONES) DEFINE(Double4, NASLAB_CLONES)
#ifdef NASLAB_AVX512
#define NASLAB_FOR_EACH_FORM(DEFINE)                                                                                                         \
  NASLAB_FOR_NARROW(DEFINE)                                                                                                                  \
  using naslab::Double8;                                                                                                                     \
  using naslab::Float16;                                                                                                                     \
  DEFINE(Float16, NASLAB_AVX512) DEFINE(Double8, NASLAB_AVX512)
#else
#define NASLAB_FOR_EACH_FORM(DEFINE) NASLAB_FOR_NARROW(DEFINE)
#endif

// A window that slides over planes. Rows first, then columns.
struct Window {
  std::int64_t images, channels, height, width;
  std::int64_t kernel, stride, padding, dilation;
  std::int64_t out_height, out_width;

  std::int64_t padded_height() const { return height + 2 * padding; }
  std::int64_t padded_width() const { return width + 2 * padding; }
  std::int64_t plane() const { return height * width; }
  std::int64_t out_plane() const { return out_height * out_width; }

  // Pixels of the map under the window for row `i` and column `j` of the output, without dilation.
  std::int64_t pixels(std::int64_t i, std::int64_t j) const {
    const auto inside = [&](std::int64_t at, std::int64_t side) {
      const std::int64_t start = at * stride - padding;
      return std::min(start + kernel, side) - std::max<std::int64_t>(start, 0);
    };
    return inside(i, height) * inside(j, width);
  }
};

template <class F> NASLAB_INLINE Vec<F> *as_vectors(Num<F> *p) { return reinterpret_cast<Vec<F> *>(p); }
template <class F> NASLAB_INLINE const Vec<F> *as_vectors(const Num<F> *p) { return reinterpret_cast<const Vec<F> *>(p); }

// L by L numbers, rows to columns: `read(i)` is where row i of what is read begins, `write(i)` where row i of what is written does.
template <class F, class Read, class Write> NASLAB_INLINE void transpose(Read read, Write write) {
  using V = Vec<F>;
  constexpr std::int64_t L = F::L;
  using Index = typename F::Index;
  using I = typename F::I;
  V from[L], to[L];
  I low, high;
#pragma GCC unroll 16
  for (std::int64_t i = 0; i < L; ++i) {
    low[i] = static_cast<Index>(i / 2 + i % 2 * L);
    high[i] = static_cast<Index>(i / 2 + L / 2 + i % 2 * L);
    std::memcpy(&from[i], read(i), sizeof(V));
  }
  // Two halves are shuffled into each other like cards, as often as it takes.
#pragma GCC unroll 4
  for (std::int64_t done = 1; done < L; done *= 2) {
#pragma GCC unroll 16
    for (std::int64_t r = 0; r < L / 2; ++r) {
      to[2 * r] = __builtin_shuffle(from[r], from[r + L / 2], low);
      to[2 * r + 1] = __builtin_shuffle(from[r], from[r + L / 2], high);
    }
#pragma GCC unroll 16
    for (std::int64_t r = 0; r < L; ++r) {
      from[r] = to[r];
    }
  }
#pragma GCC unroll 16
  for (std::int64_t i = 0; i < L; ++i) {
    std::memcpy(write(i), &from[i], sizeof(V));
  }
}

// `count` images, `step` numbers apart, of `size` numbers each, to vectors: that of number i goes to `place(i)`.
template <class F, class Place>
NASLAB_INLINE void interleave(const Num<F> *from, std::int64_t step, std::int64_t count, std::int64_t size, Place place) {
  std::int64_t i = 0;
  for (; count == F::L && i + F::L <= size; i += F::L) {
    transpose<F>([&](std::int64_t lane) __attribute__((always_inline)) { return from + lane * step + i; },
                 [&](std::int64_t k) __attribute__((always_inline)) { return place(i + k); });
  }
  for (; i < size; ++i) {
    auto *to = reinterpret_cast<Num<F> *>(place(i));
    for (std::int64_t lane = 0; lane < count; ++lane) {
      to[lane] = from[lane * step + i];
    }
  }
}

// And back.
template <class F, class Place>
NASLAB_INLINE void separate(Num<F> *to, std::int64_t step, std::int64_t count, std::int64_t size, Place place) {
  std::int64_t i = 0;
  for (; count == F::L && i + F::L <= size; i += F::L) {
    transpose<F>([&](std::int64_t k) __attribute__((always_inline)) { return place(i + k); },
                 [&](std::int64_t lane) __attribute__((always_inline)) { return to + lane * step + i; });
  }
  for (; i < size; ++i) {
    const auto *from = reinterpret_cast<const Num<F> *>(place(i));
    for (std::int64_t lane = 0; lane < count; ++lane) {
      to[lane * step + i] = from[lane];
    }
  }
}

// Planes of up to `lanes` images, [rows][columns][lane], with a border.
template <class F> class Planes {
  using T = Num<F>;
  using V = Vec<F>;
  static constexpr std::int64_t L = F::L;

public:
  V *data() { return reinterpret_cast<V *>(memory_.data() + offset_); }

  // Room for so many vectors; what is in them is left over from before.
  NASLAB_INLINE V *resize(std::int64_t vectors) {
    const auto size = static_cast<std::size_t>((vectors + 1) * L);
    if (memory_.size() < size) {
      memory_.resize(size);
      const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
      offset_ = static_cast<std::size_t>(((F::bytes - address % F::bytes) % F::bytes) / sizeof(T));
    }
    return data();
  }

  NASLAB_INLINE V *filled(std::int64_t vectors, T value) {
    V *out = resize(vectors);
    T *flat = reinterpret_cast<T *>(out);
    std::fill(flat, flat + vectors * L, value);
    return out;
  }

  // Reads `count` images' planes that lie `step` apart into the middle of a border.
  NASLAB_INLINE V *load(const Num<F> *from, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border,
                        T outside) {
    const std::int64_t width = columns + 2 * border;
    // Where there is a border or a lane without an image, not everything is written below.
    V *out = border > 0 || count < L ? filled((rows + 2 * border) * width, outside) : resize(rows * width);
    interleave<F>(from, step, count, rows * columns, [&](std::int64_t i) __attribute__((always_inline)) {
      return border == 0 ? out + i : out + (i / columns + border) * width + border + i % columns;
    });
    return out;
  }

  // Writes the middle back.
  NASLAB_INLINE void store(T *to, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border) {
    const std::int64_t width = columns + 2 * border;
    V *in = data();
    separate<F>(to, step, count, rows * columns, [&](std::int64_t i) __attribute__((always_inline)) {
      return border == 0 ? in + i : in + (i / columns + border) * width + border + i % columns;
    });
  }

private:
  std::vector<T> memory_;
  std::size_t offset_ = 0;
};

// Calls `f<M>(j)` for M columns from `j` on, until all of `columns` have been.
template <class Function> NASLAB_INLINE void by_columns(std::int64_t columns, Function f) {
  std::int64_t j = 0;
  for (; j + 8 <= columns; j += 8) {
    f.template operator()<8>(j);
  }
  for (; j + 2 <= columns; j += 2) {
    f.template operator()<2>(j);
  }
  if (j < columns) {
    f.template operator()<1>(j);
  }
}

// M columns from `j` on of a row of a convolution, by rows [from, to) of the kernel: row `ki` of it reads row `first + ki * dilation` of `in`, which is
// `width` wide. `K` and `S` are the kernel's width and the stride as constants; 0 where only the argument knows.
template <class F, int K, int S, int M>
NASLAB_INLINE void convolve_columns(Vec<F> *sums, const Vec<F> *in, std::int64_t width, const Num<F> *w, std::int64_t kernel, std::int64_t stride,
                                    std::int64_t dilation, std::int64_t first, std::int64_t from, std::int64_t to, std::int64_t j) {
  const std::int64_t k = K > 0 ? K : kernel, s = S > 0 ? S : stride;
  for (std::int64_t ki = from; ki < to; ++ki) {
    const Vec<F> *tap = in + (first + ki * dilation) * width + j * s;
#pragma GCC unroll 7
    for (std::int64_t kj = 0; kj < k; ++kj, tap += dilation) {
      const Num<F> weight = w[ki * k + kj];
#pragma GCC unroll 8
      for (int u = 0; u < M; ++u) {
        sums[u] += weight * tap[u * s];
      }
    }
  }
}

// As `correlate`, with the kernel's width and the stride as constants; 0 where only the argument knows.
template <class F, int K, int S>
NASLAB_INLINE void correlate_as(const Vec<F> *in, std::int64_t width, const Num<F> *w, std::int64_t kernel, std::int64_t stride,
                                std::int64_t dilation, Vec<F> *out, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i) {
    by_columns(columns, [&]<int M>(std::int64_t j) __attribute__((always_inline)) {
      Vec<F> sums[M]{};
      convolve_columns<F, K, S, M>(sums, in, width, w, kernel, stride, dilation, i * (S > 0 ? S : stride), 0, K > 0 ? K : kernel, j);
#pragma GCC unroll 8
      for (int u = 0; u < M; ++u) {
        out[i * columns + j + u] = sums[u];
      }
    });
  }
}

// out[i][j] = sum over taps of w * in[i * stride + ki * dilation][j * stride + kj * dilation]; `in` is `width` wide.
template <class F>
NASLAB_INLINE void correlate(const Vec<F> *in, std::int64_t width, const Num<F> *w, std::int64_t kernel, std::int64_t stride,
                             std::int64_t dilation, Vec<F> *out, std::int64_t rows, std::int64_t columns) {
  if (kernel == 3 && stride == 1) {
    correlate_as<F, 3, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else if (kernel == 5 && stride == 1) {
    correlate_as<F, 5, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else if (stride == 1) {
    correlate_as<F, 0, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else {
    correlate_as<F, 0, 0>(in, width, w, kernel, stride, dilation, out, rows, columns);
  }
}

// As `gather_taps`, with the kernel's width as a constant.
template <class F, int K>
NASLAB_INLINE void gather_taps_as(const Vec<F> *in, std::int64_t width, const Vec<F> *g,
                                  std::int64_t stride, std::int64_t dilation, Vec<F> *taps, std::int64_t rows,
                                  std::int64_t columns) {
  using V = Vec<F>;
  for (std::int64_t ki = 0; ki < K; ++ki) {
    V even[K]{}, odd[K]{};
    for (std::int64_t i = 0; i < rows; ++i) {
      const V *row = in + (i * stride + ki * dilation) * width;
      const V *from = g + i * columns;
      std::int64_t j = 0;
      for (; j + 2 <= columns; j += 2) {
        const V a = from[j], b = from[j + 1];
#pragma GCC unroll 7
        for (int kj = 0; kj < K; ++kj) {
          even[kj] += a * row[j * stride + kj * dilation];
          odd[kj] += b * row[(j + 1) * stride + kj * dilation];
        }
      }
      if (j < columns) {
#pragma GCC unroll 7
        for (int kj = 0; kj < K; ++kj) {
          even[kj] += from[j] * row[j * stride + kj * dilation];
        }
      }
    }
#pragma GCC unroll 7
    for (int kj = 0; kj < K; ++kj) {
      taps[ki * K + kj] += even[kj] + odd[kj];
    }
  }
}

// taps[k] += sum over outputs of g[i][j] * in[i * stride + ki * dilation][j * stride + kj * dilation]
template <class F>
NASLAB_INLINE void gather_taps(const Vec<F> *in, std::int64_t width, const Vec<F> *g,
                               std::int64_t kernel, std::int64_t stride, std::int64_t dilation, Vec<F> *taps,
                               std::int64_t rows, std::int64_t columns) {
  using V = Vec<F>;
  if (kernel == 3) {
    return gather_taps_as<F, 3>(in, width, g, stride, dilation, taps, rows, columns);
  }
  if (kernel == 5) {
    return gather_taps_as<F, 5>(in, width, g, stride, dilation, taps, rows, columns);
  }
  for (std::int64_t ki = 0; ki < kernel; ++ki) {
    for (std::int64_t kj = 0; kj < kernel; ++kj) {
      V a{}, b{};
      for (std::int64_t i = 0; i < rows; ++i) {
        const V *row = in + (i * stride + ki * dilation) * width + kj * dilation;
        const V *from = g + i * columns;
        std::int64_t j = 0;
        for (; j + 2 <= columns; j += 2) {
          a += from[j] * row[j * stride];
          b += from[j + 1] * row[(j + 1) * stride];
        }
        if (j < columns) {
          a += from[j] * row[j * stride];
        }
      }
      taps[ki * kernel + kj] += a + b;
    }
  }
}

// in[i * stride + ki * dilation][j * stride + kj * dilation] += w * g[i][j]
template <class F>
NASLAB_INLINE void scatter(Vec<F> *in, std::int64_t width, const Num<F> *w, const Vec<F> *g,
                           std::int64_t kernel, std::int64_t stride, std::int64_t dilation, std::int64_t rows, std::int64_t columns) {
  using T = Num<F>;
  using V = Vec<F>;
  for (std::int64_t ki = 0; ki < kernel; ++ki) {
    for (std::int64_t kj = 0; kj < kernel; ++kj) {
      const T weight = w[ki * kernel + kj];
      for (std::int64_t i = 0; i < rows; ++i) {
        V *row = in + (i * stride + ki * dilation) * width + kj * dilation;
        for (std::int64_t j = 0; j < columns; ++j) {
          row[j * stride] += weight * g[i * columns + j];
        }
      }
    }
  }
}

// The gradient of a window's input from that of its output, `grad` [rows][columns]; the map is in the middle of a border of `margin` pixels.
template <class F>
NASLAB_INLINE Vec<F> *input_gradient(Planes<F> &bordered, Planes<F> &result, const Window &s, const Num<F> *w, const Num<F> *flipped,
                                                       const Vec<F> *grad, std::int64_t &margin) {
  using T = Num<F>;
  const std::int64_t border = s.dilation * (s.kernel - 1) - s.padding;
  if (s.stride != 1 || border < 0) {
    margin = s.padding;
    auto *out = result.filled(s.padded_height() * s.padded_width(), T(0));
    scatter<F>(out, s.padded_width(), w, grad, s.kernel, s.stride, s.dilation, s.out_height, s.out_width);
    return out;
  }
  // With stride 1 it is a correlation with the flipped kernel over a bordered gradient.
  margin = 0;
  const std::int64_t width = s.out_width + 2 * border;
  auto *wide = bordered.filled((s.out_height + 2 * border) * width, T(0));
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    std::copy(grad + i * s.out_width, grad + (i + 1) * s.out_width, wide + (i + border) * width + border);
  }
  auto *out = result.resize(s.plane());
  correlate<F>(wide, width, flipped, s.kernel, 1, s.dilation, out, s.height, s.width);
  return out;
}

// The planes of one channel: rows [top, top + rows) and columns [left, left + columns) of a map of `height` by `width`, `outside` around it.
// Inside, `scale` and `shift` (if not null) and a ReLU (if `relu`) come first.
template <class F>
NASLAB_INLINE void cut(Vec<F> *out, const Vec<F> *plane, std::int64_t height, std::int64_t width,
                       std::int64_t top, std::int64_t rows, std::int64_t left, std::int64_t columns, const Num<F> *scale, const Num<F> *shift, bool relu,
                       Num<F> outside = Num<F>(0)) {
  using V = Vec<F>;
  const std::int64_t from = std::clamp<std::int64_t>(-left, 0, columns), to = std::clamp<std::int64_t>(width - left, from, columns);
  for (std::int64_t i = 0; i < rows; ++i, out += columns) {
    const bool beyond = top + i < 0 || top + i >= height;
    const std::int64_t first = beyond ? columns : from, last = beyond ? columns : to;
    const V *in = plane + (top + i) * width + left;
    const auto edge = [&](std::int64_t j, std::int64_t end) __attribute__((always_inline)) {
      for (; j < end; ++j) {
        out[j] = V{} + outside;
      }
    };
    const auto inside = [&]<bool SCALES, bool RELU>() __attribute__((always_inline)) {
      for (std::int64_t j = first; j < last; ++j) {
        // Of the next channel, which lies too far off for the processor to foresee.
        __builtin_prefetch(in + height * width + j);
        const V v = SCALES ? in[j] * *scale + *shift : in[j];
        // As libtorch's: a NaN passes.
        if constexpr (RELU) {
          out[j] = v < V{} ? V{} : v;
        } else {
          out[j] = v;
        }
      }
    };
    edge(0, first);
    if (scale == nullptr) {
      relu ? inside.template operator()<false, true>() : inside.template operator()<false, false>();
    } else {
      relu ? inside.template operator()<true, true>() : inside.template operator()<true, false>();
    }
    edge(last, columns);
  }
}

// Sums over `count` vectors from `start` on: `f` adds vector `p` to the sums that it is given, of which there are several so that none waits for itself.
template <class V, int N, class Function> NASLAB_INLINE void add_up(std::int64_t start, std::int64_t count, V *totals, Function f) {
  constexpr int CHAINS = 4;
  V sums[CHAINS * N]{};
  std::int64_t p = start;
  for (; p + CHAINS <= start + count; p += CHAINS) {
#pragma GCC unroll 8
    for (int k = 0; k < CHAINS; ++k) {
      f(p + k, sums + k * N);
    }
  }
  for (; p < start + count; ++p) {
    f(p, sums);
  }
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
    totals[i] += (sums[i] + sums[N + i]) + (sums[2 * N + i] + sums[3 * N + i]);
  }
}

// A maximum in progress. A NaN stays, as in libtorch; it is kept apart, since GCC 12 takes a choice by two comparisons of vectors of AVX-512 to pieces.
template <class F> struct Maximum {
  Vec<F> value, nan{};
  NASLAB_INLINE explicit Maximum(const Vec<F> &first) : value(first) {}
  NASLAB_INLINE void add(const Vec<F> &v) {
    value = v > value ? v : value;
    nan = v != v ? v : nan;
  }
  NASLAB_INLINE void result(Vec<F> &out) const { out = nan != nan ? nan : value; }
};

// The gradient of a pool's bordered planes from that of its output, added to `result`: a maximum passes it to the first of equal pixels, an
// average shares it among the pixels that exist. `planes` is what a maximum was taken of.
template <class F>
NASLAB_INLINE void unpool(const Window &s, bool maximum, const Vec<F> *planes, const Vec<F> *grad, Vec<F> *result) {
  using T = Num<F>;
  using V = Vec<F>;
  using Index = typename F::Index;
  using I = typename F::I;
  const std::int64_t width = s.padded_width();
  const auto each_tap = [&](auto f) __attribute__((always_inline)) {
    for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
      for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
        f(ki * width + kj);
      }
    }
  };
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j) {
      const std::int64_t start = i * s.stride * width + j * s.stride;
      V *to = result + start;
      if (maximum) {
        V value = planes[start];
        I place{};
        each_tap([&](std::int64_t tap) __attribute__((always_inline)) {
          const V at = planes[start + tap];
          const I here = I{} + static_cast<Index>(tap);
          place = at > value ? here : place;
          value = at > value ? at : value;
        });
        const V passed = grad[i * s.out_width + j];
        each_tap([&](std::int64_t tap) __attribute__((always_inline)) {
          const I here = I{} + static_cast<Index>(tap);
          to[tap] += place == here ? passed : V{};
        });
      } else {
        const V share = grad[i * s.out_width + j] / static_cast<T>(s.pixels(i, j));
        each_tap([&](std::int64_t tap) __attribute__((always_inline)) { to[tap] += share; });
      }
    }
  }
}

// `sum` and the first `count` lanes, added one after the other.
template <class Sum, class V> NASLAB_INLINE Sum plus_lanes(Sum sum, const V &v, std::int64_t count) {
  for (std::int64_t lane = 0; lane < count; ++lane) {
    sum += v[lane];
  }
  return sum;
}

} // namespace naslab
