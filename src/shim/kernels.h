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
#else
#define NASLAB_CLONES
#endif
#define NASLAB_INLINE inline __attribute__((always_inline))

namespace naslab {

template <class T> struct Vector {
  static constexpr std::int64_t lanes = 32 / sizeof(T);
  typedef T type __attribute__((vector_size(32)));
};

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

template <class T> NASLAB_INLINE typename Vector<T>::type *as_vectors(T *p) { return reinterpret_cast<typename Vector<T>::type *>(p); }
template <class T> NASLAB_INLINE const typename Vector<T>::type *as_vectors(const T *p) {
  return reinterpret_cast<const typename Vector<T>::type *>(p);
}

// Planes of up to `lanes` images, [rows][columns][lane], with a border.
template <class T> class Planes {
  using V = typename Vector<T>::type;
  static constexpr std::int64_t L = Vector<T>::lanes;

public:
  V *data() { return reinterpret_cast<V *>(memory_.data() + offset_); }

  // Room for so many vectors; what is in them is left over from before.
  NASLAB_INLINE V *resize(std::int64_t vectors) {
    const auto size = static_cast<std::size_t>((vectors + 1) * L);
    if (memory_.size() < size) {
      memory_.resize(size);
      const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
      offset_ = static_cast<std::size_t>(((32 - address % 32) % 32) / sizeof(T));
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
  NASLAB_INLINE V *load(const T *from, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border,
                        T outside) {
    const std::int64_t width = columns + 2 * border;
    // Where there is a border or a lane without an image, not everything is written below.
    V *out = border > 0 || count < L ? filled((rows + 2 * border) * width, outside) : resize(rows * width);
    T *flat = reinterpret_cast<T *>(out);
    for (std::int64_t lane = 0; lane < count; ++lane) {
      const T *image = from + lane * step;
      for (std::int64_t i = 0; i < rows; ++i) {
        T *row = flat + ((i + border) * width + border) * L + lane;
        for (std::int64_t j = 0; j < columns; ++j) {
          row[j * L] = image[i * columns + j];
        }
      }
    }
    return out;
  }

  // Writes the middle back.
  NASLAB_INLINE void store(T *to, std::int64_t step, std::int64_t count, std::int64_t rows, std::int64_t columns, std::int64_t border) {
    const std::int64_t width = columns + 2 * border;
    const T *flat = reinterpret_cast<const T *>(data());
    for (std::int64_t lane = 0; lane < count; ++lane) {
      T *image = to + lane * step;
      for (std::int64_t i = 0; i < rows; ++i) {
        const T *row = flat + ((i + border) * width + border) * L + lane;
        for (std::int64_t j = 0; j < columns; ++j) {
          image[i * columns + j] = row[j * L];
        }
      }
    }
  }

private:
  std::vector<T> memory_;
  std::size_t offset_ = 0;
};

// As `correlate`, with the kernel's width and the stride as constants; 0 where only the argument knows.
template <class T, int K, int S>
NASLAB_INLINE void correlate_as(const typename Vector<T>::type *in, std::int64_t width, const T *w, std::int64_t kernel, std::int64_t stride,
                                std::int64_t dilation, typename Vector<T>::type *out, std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
  constexpr int N = 8;
  const std::int64_t k = K > 0 ? K : kernel, s = S > 0 ? S : stride;
  for (std::int64_t i = 0; i < rows; ++i) {
    const V *row = in + i * s * width;
    std::int64_t j = 0;
    const auto several = [&]<int M>() __attribute__((always_inline)) {
      V sums[M]{};
      for (std::int64_t ki = 0; ki < k; ++ki) {
        const V *tap = row + ki * dilation * width + j * s;
#pragma GCC unroll 7
        for (std::int64_t kj = 0; kj < k; ++kj, tap += dilation) {
          const T weight = w[ki * k + kj];
#pragma GCC unroll 8
          for (int u = 0; u < M; ++u) {
            sums[u] += weight * tap[u * s];
          }
        }
      }
#pragma GCC unroll 8
      for (int u = 0; u < M; ++u) {
        out[i * columns + j + u] = sums[u];
      }
    };
    for (; j + N <= columns; j += N) {
      several.template operator()<N>();
    }
    for (; j + 2 <= columns; j += 2) {
      several.template operator()<2>();
    }
    if (j < columns) {
      several.template operator()<1>();
    }
  }
}

// out[i][j] = sum over taps of w * in[i * stride + ki * dilation][j * stride + kj * dilation]; `in` is `width` wide.
template <class T>
NASLAB_INLINE void correlate(const typename Vector<T>::type *in, std::int64_t width, const T *w, std::int64_t kernel, std::int64_t stride,
                             std::int64_t dilation, typename Vector<T>::type *out, std::int64_t rows, std::int64_t columns) {
  if (kernel == 3 && stride == 1) {
    correlate_as<T, 3, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else if (kernel == 5 && stride == 1) {
    correlate_as<T, 5, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else if (stride == 1) {
    correlate_as<T, 0, 1>(in, width, w, kernel, stride, dilation, out, rows, columns);
  } else {
    correlate_as<T, 0, 0>(in, width, w, kernel, stride, dilation, out, rows, columns);
  }
}

// As `gather_taps`, with the kernel's width as a constant.
template <class T, int K>
NASLAB_INLINE void gather_taps_as(const typename Vector<T>::type *in, std::int64_t width, const typename Vector<T>::type *g,
                                  std::int64_t stride, std::int64_t dilation, typename Vector<T>::type *taps, std::int64_t rows,
                                  std::int64_t columns) {
  using V = typename Vector<T>::type;
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
template <class T>
NASLAB_INLINE void gather_taps(const typename Vector<T>::type *in, std::int64_t width, const typename Vector<T>::type *g,
                               std::int64_t kernel, std::int64_t stride, std::int64_t dilation, typename Vector<T>::type *taps,
                               std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
  if (kernel == 3) {
    return gather_taps_as<T, 3>(in, width, g, stride, dilation, taps, rows, columns);
  }
  if (kernel == 5) {
    return gather_taps_as<T, 5>(in, width, g, stride, dilation, taps, rows, columns);
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
template <class T>
NASLAB_INLINE void scatter(typename Vector<T>::type *in, std::int64_t width, const T *w, const typename Vector<T>::type *g,
                           std::int64_t kernel, std::int64_t stride, std::int64_t dilation, std::int64_t rows, std::int64_t columns) {
  using V = typename Vector<T>::type;
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
template <class T>
NASLAB_INLINE typename Vector<T>::type *input_gradient(Planes<T> &bordered, Planes<T> &result, const Window &s, const T *w, const T *flipped,
                                                       const typename Vector<T>::type *grad, std::int64_t &margin) {
  const std::int64_t border = s.dilation * (s.kernel - 1) - s.padding;
  if (s.stride != 1 || border < 0) {
    margin = s.padding;
    auto *out = result.filled(s.padded_height() * s.padded_width(), T(0));
    scatter<T>(out, s.padded_width(), w, grad, s.kernel, s.stride, s.dilation, s.out_height, s.out_width);
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
  correlate<T>(wide, width, flipped, s.kernel, 1, s.dilation, out, s.height, s.width);
  return out;
}

// The planes of one channel: rows [top, top + rows) and columns [left, left + columns) of a map of `height` by `width`, `outside` around it.
// Inside, `scale` and `shift` (if not null) and a ReLU (if `relu`) come first.
template <class T>
NASLAB_INLINE void cut(typename Vector<T>::type *out, const typename Vector<T>::type *plane, std::int64_t height, std::int64_t width,
                       std::int64_t top, std::int64_t rows, std::int64_t left, std::int64_t columns, const T *scale, const T *shift, bool relu,
                       T outside = T(0)) {
  using V = typename Vector<T>::type;
  const std::int64_t from = std::clamp<std::int64_t>(-left, 0, columns), to = std::clamp<std::int64_t>(width - left, from, columns);
  for (std::int64_t i = 0; i < rows; ++i, out += columns) {
    const bool beyond = top + i < 0 || top + i >= height;
    const std::int64_t first = beyond ? columns : from, last = beyond ? columns : to;
    const V *in = plane + (top + i) * width + left;
    std::fill(out, out + first, V{} + outside);
    if (scale != nullptr) {
      for (std::int64_t j = first; j < last; ++j) {
        out[j] = in[j] * *scale + *shift;
      }
    } else if (first < last) {
      std::copy(in + first, in + last, out + first);
    }
    if (relu) {
      for (std::int64_t j = first; j < last; ++j) {
        // As libtorch's: a NaN passes.
        out[j] = out[j] < V{} ? V{} : out[j];
      }
    }
    std::fill(out + last, out + columns, V{} + outside);
  }
}

// The gradient of a pool's bordered planes from that of its output, added to `result`: a maximum passes it to the first of equal pixels, an
// average shares it among the pixels that exist. `planes` is what a maximum was taken of.
template <class T>
NASLAB_INLINE void unpool(const Window &s, bool maximum, const typename Vector<T>::type *planes, const typename Vector<T>::type *grad,
                          std::int64_t lanes, typename Vector<T>::type *result) {
  using V = typename Vector<T>::type;
  using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef Index I __attribute__((vector_size(32)));
  const std::int64_t width = s.padded_width();
  T *flat = reinterpret_cast<T *>(result);
  for (std::int64_t i = 0; i < s.out_height; ++i) {
    for (std::int64_t j = 0; j < s.out_width; ++j) {
      const std::int64_t start = i * s.stride * width + j * s.stride;
      const V passed = grad[i * s.out_width + j];
      if (maximum) {
        V value = planes[start];
        I place{};
        for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
          for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
            const V tap = planes[start + ki * width + kj];
            const I better = (tap > value) | (tap != tap);
            value = better ? tap : value;
            place = better ? I{} + static_cast<Index>(ki * width + kj) : place;
          }
        }
        for (std::int64_t lane = 0; lane < lanes; ++lane) {
          flat[(start + place[lane]) * Vector<T>::lanes + lane] += passed[lane];
        }
        continue;
      }
      const V share = passed / static_cast<T>(s.pixels(i, j));
      for (std::int64_t ki = 0; ki < s.kernel; ++ki) {
        for (std::int64_t kj = 0; kj < s.kernel; ++kj) {
          result[start + ki * width + kj] += share;
        }
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
