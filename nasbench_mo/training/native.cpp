// Trains one NAS-Bench-201 network in single precision on one core: the recipe of trainer.py, tensors with channels
// last.
//
// A tensor that a 3x3 convolution reads has a border of zeros. Nodes are rectified once for all their edges, batch
// normalisations are added to the next node as they are computed, and a network in evaluation folds them into its
// convolutions. Every sum has one order, whatever the vector registers, so a compiler gives the same bits on all
// processors with fused multiply-add.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#define INLINED __attribute__((always_inline))  // a lambda that is not would keep its vectors in memory

namespace {

template <int V>
struct Lanes {
    typedef float type __attribute__((vector_size(4 * V), aligned(4)));
};

#ifdef __AVX512F__
template <int C>
constexpr int lanes = C % 16 == 0 ? 16 : 8;
constexpr int ACCUMULATORS = 16;  // vector registers that hold sums
#else
template <int C>
constexpr int lanes = 8;
constexpr int ACCUMULATORS = 8;
#endif

template <int N, class F>
INLINED inline void unrolled(F&& f) {
    [&]<int... I>(std::integer_sequence<int, I...>)
        INLINED { (f(std::integral_constant<int, I>{}), ...); }(std::make_integer_sequence<int, N>{});
}

// A tensor (images, size, size, channels); `border` pixels of zeros around each image.
struct Tensor {
    float* data = nullptr;  // first pixel inside the border
    int size = 0, channels = 0, border = 0;
    long row() const { return long(size + 2 * border) * channels; }
    long image() const { return row() * (size + 2 * border); }
    const float* at(int b) const { return data + b * image(); }
    float* at(int b) { return data + b * image(); }
};

// Zeroed memory in large pieces, on large pages where the system has them.
class Arena {
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::vector<std::unique_ptr<float, Free>> pieces_;
    long used_ = 0, size_ = 0;

public:
    float* floats(long n) {
        n = (n + 16 + 63) / 64 * 64 + 64;  // whole cache lines; not the same place of a page each time
        if (used_ + n > size_) {
            size_ = std::max(PIECE, (n + PIECE - 1) / PIECE * PIECE);
            void* piece = std::aligned_alloc(sizeof(float) * PIECE, sizeof(float) * size_);
            if (!piece) throw std::bad_alloc();
            pieces_.emplace_back(static_cast<float*>(piece));
#ifdef MADV_HUGEPAGE
            madvise(piece, sizeof(float) * size_, MADV_HUGEPAGE);
#endif
            std::memset(piece, 0, sizeof(float) * size_);
            used_ = 0;
        }
        used_ += n;
        return pieces_.back().get() + used_ - n;
    }
    static constexpr long PIECE = 1 << 19;  // floats
    Tensor tensor(int images, int size, int channels, int border = 0) {
        Tensor t{nullptr, size, channels, border};
        t.data = floats(images * t.image()) + border * (t.row() + channels);
        return t;
    }
};

enum Epilogue { STORE, ADD, AFFINE, ADD_AFFINE };

// out(x, y, :) = sum over taps of in(stride x + kx - pad, ...) w(ky, kx, :, :), w as (K, K, CI, CO).
template <int CI, int CO, int K, int STRIDE, int PX, Epilogue EPI>
void conv_tiles(const Tensor& in, const float* w, Tensor& out, int images, const float* scale, const float* shift) {
    constexpr int V = lanes<CO>, NB = CO / V >= 2 && 2 * PX <= ACCUMULATORS ? 2 : 1;
    using vec = typename Lanes<V>::type;
    const long in_row = in.row(), out_row = out.row();
    for (int b = 0; b < images; ++b)
        for (int cb = 0; cb < CO; cb += V * NB)
            for (int y = 0; y < out.size; ++y)
                for (int x = 0; x < out.size; x += PX) {
                    vec acc[NB * PX];
                    unrolled<NB * PX>([&](auto i) INLINED { acc[i] = vec{}; });
                    for (int ky = 0; ky < K; ++ky)
                        for (int kx = 0; kx < K; ++kx) {
                            const float* src =
                                in.at(b) + (STRIDE * y + ky - K / 2) * in_row + long(STRIDE * x + kx - K / 2) * CI;
                            const float* tap = w + long((ky * K + kx) * CI) * CO + cb;
                            for (int ci = 0; ci < CI; ++ci) {
                                vec wv[NB];
                                unrolled<NB>([&](auto n) INLINED { wv[n] = *(const vec*)(tap + ci * CO + n * V); });
                                unrolled<PX>([&](auto p) INLINED {
                                    const float s = src[p * STRIDE * CI + ci];
                                    unrolled<NB>([&](auto n) INLINED { acc[p * NB + n] += wv[n] * s; });
                                });
                            }
                        }
                    float* dst = out.at(b) + y * out_row + long(x) * CO + cb;
                    unrolled<NB>([&](auto n) INLINED {
                        vec a{}, c{};
                        if constexpr (EPI == AFFINE || EPI == ADD_AFFINE) {
                            a = *(const vec*)(scale + cb + n * V);
                            c = *(const vec*)(shift + cb + n * V);
                        }
                        unrolled<PX>([&](auto p) INLINED {
                            vec* d = (vec*)(dst + p * CO + n * V);
                            vec value = acc[p * NB + n];
                            if constexpr (EPI == AFFINE || EPI == ADD_AFFINE) value = value * a + c;
                            if constexpr (EPI == ADD || EPI == ADD_AFFINE) value += *d;
                            *d = value;
                        });
                    });
                }
}

template <int CI, int CO, int K, int STRIDE, Epilogue EPI>
void conv(const Tensor& in, const float* w, Tensor& out, int images, const float* scale = nullptr,
          const float* shift = nullptr) {
    if (out.size % 8 == 0)
        conv_tiles<CI, CO, K, STRIDE, 8, EPI>(in, w, out, images, scale, shift);
    else
        conv_tiles<CI, CO, K, STRIDE, 4, EPI>(in, w, out, images, scale, shift);
}

// Adds to din what a 3x3 convolution of stride 2 sends back; w as (3, 3, CO, CI), not flipped.
template <int CI, int CO, int PX>
void conv_back_stride2_tiles(const Tensor& dout, const float* w, Tensor& din, int images) {
    constexpr int V = lanes<CI>;
    using vec = typename Lanes<V>::type;
    for (int b = 0; b < images; ++b)
        for (int cb = 0; cb < CI; cb += V)
            for (int y = 0; y < din.size; ++y)
                for (int odd = 0; odd < 2; ++odd)
                    for (int x = 0; x < dout.size; x += PX) {
                        vec acc[PX];
                        unrolled<PX>([&](auto i) INLINED { acc[i] = vec{}; });
                        for (int ky = (y + 1) % 2; ky < 3; ky += 2)
                            for (int kx = 1 - odd; kx < 3; kx += 2) {
                                const float* src =
                                    dout.at(b) + (y + 1 - ky) / 2 * dout.row() + long(x + (odd + 1 - kx) / 2) * CO;
                                const float* tap = w + long((ky * 3 + kx) * CO) * CI + cb;
                                for (int co = 0; co < CO; ++co) {
                                    const vec wv = *(const vec*)(tap + co * CI);
                                    unrolled<PX>([&](auto p) INLINED { acc[p] += wv * src[p * CO + co]; });
                                }
                            }
                        float* dst = din.at(b) + y * din.row() + long(2 * x + odd) * CI + cb;
                        unrolled<PX>([&](auto p) INLINED { *(vec*)(dst + p * 2 * CI) += acc[p]; });
                    }
}

template <int CI, int CO>
void conv_back_stride2(const Tensor& dout, const float* w, Tensor& din, int images) {
    if (dout.size % 8 == 0)
        conv_back_stride2_tiles<CI, CO, 8>(dout, w, din, images);
    else
        conv_back_stride2_tiles<CI, CO, 4>(dout, w, din, images);
}

// dw = sum over images and pixels of in(shifted) dout, as (K, K, CI, CO).
template <int CI, int CO, int K, int STRIDE>
void conv_weights(const Tensor& in, const Tensor& dout, float* dw, int images) {
    constexpr int V = lanes<CO>, CB = CI % 8 == 0 ? 8 : CI, NB = CO / V >= 2 && 2 * CB <= ACCUMULATORS ? 2 : 1;
    using vec = typename Lanes<V>::type;
    std::memset(dw, 0, sizeof(float) * K * K * CI * CO);
    const int size = dout.size, group = std::max(1, 256 / (size * size));
    for (int first = 0; first < images; first += group) {
        const int last = std::min(images, first + group);
        for (int ky = 0; ky < K; ++ky)
            for (int kx = 0; kx < K; ++kx)
                for (int ci = 0; ci < CI; ci += CB)
                    for (int cb = 0; cb < CO; cb += V * NB) {
                        vec acc[CB * NB];
                        unrolled<CB * NB>([&](auto i) INLINED { acc[i] = vec{}; });
                        for (int b = first; b < last; ++b)
                            for (int y = 0; y < size; ++y) {
                                const float* src =
                                    in.at(b) + (STRIDE * y + ky - K / 2) * in.row() + long(kx - K / 2) * CI + ci;
                                const float* d = dout.at(b) + y * dout.row() + cb;
                                for (int x = 0; x < size; ++x, src += STRIDE * CI, d += CO) {
                                    vec dv[NB];
                                    unrolled<NB>([&](auto n) INLINED { dv[n] = *(const vec*)(d + n * V); });
                                    unrolled<CB>([&](auto c) INLINED {
                                        unrolled<NB>([&](auto n) INLINED { acc[c * NB + n] += dv[n] * src[c]; });
                                    });
                                }
                            }
                        float* out = dw + long((ky * K + kx) * CI + ci) * CO + cb;
                        unrolled<CB>([&](auto c) INLINED {
                            unrolled<NB>([&](auto n) INLINED { *(vec*)(out + c * CO + n * V) += acc[c * NB + n]; });
                        });
                    }
    }
}

// (K, K, CI, CO) to (K, K, CO, CI), with the taps in reverse order or as they are.
template <int CI, int CO, int K>
void transposed(const float* w, float* out, bool flip) {
    for (int t = 0; t < K * K; ++t)
        for (int ci = 0; ci < CI; ++ci)
            for (int co = 0; co < CO; ++co)
                out[((flip ? K * K - 1 - t : t) * CO + co) * CI + ci] = w[(t * CI + ci) * CO + co];
}

constexpr float EPS = 1e-5f, RUNNING = 0.1f;

typedef float v8 __attribute__((vector_size(32), aligned(4)));

// Batch normalisation of a tensor without border; C is a multiple of 8.
struct Norm {
    int channels = 0;
    float *gamma = nullptr, *beta = nullptr, *dgamma = nullptr, *dbeta = nullptr;  // parameters and gradients
    std::vector<float> mean, inverse, running_mean, running_var, scale, shift;

    void init(int c) {
        channels = c;
        for (auto* v : {&mean, &inverse, &running_mean, &scale, &shift}) v->assign(c, 0);
        running_var.assign(c, 1);
    }

    // Sums over images and pixels of f(values of 8 channels): in single precision over an image row, then in double.
    template <int N, class F>
    void sums(int images, int size, double* out, F&& f) const {
        std::vector<double> total;
        total.assign(N * channels, 0.0);
        for (int b = 0; b < images; ++b)
            for (int y = 0; y < size; ++y)
                for (int c = 0; c < channels; c += 8) {
                    v8 acc[N][4];
                    unrolled<N * 4>([&](auto i) INLINED { acc[i / 4][i % 4] = v8{}; });
                    for (int x = 0; x < size; x += 4)
                        unrolled<4>([&](auto p) INLINED {
                            v8 values[N];
                            f(b, y, x + p, c, values);
                            unrolled<N>([&](auto n) INLINED { acc[n][p] += values[n]; });
                        });
                    unrolled<N>([&](auto n) INLINED {
                        const v8 sum = (acc[n][0] + acc[n][1]) + (acc[n][2] + acc[n][3]);
                        for (int i = 0; i < 8; ++i) total[n * channels + c + i] += sum[i];
                    });
                }
        std::copy(total.begin(), total.end(), out);
    }

    void measure(const Tensor& z, int images) {
        const double n = double(images) * z.size * z.size;
        std::vector<double> sum(channels), squares(channels);
        sums<1>(images, z.size, sum.data(), [&](int b, int y, int x, int c, v8* out) INLINED {
            out[0] = *(const v8*)(z.at(b) + y * z.row() + long(x) * channels + c);
        });
        for (int c = 0; c < channels; ++c) mean[c] = float(sum[c] / n);
        sums<1>(images, z.size, squares.data(), [&](int b, int y, int x, int c, v8* out) INLINED {
            const v8 d = *(const v8*)(z.at(b) + y * z.row() + long(x) * channels + c) - *(const v8*)(mean.data() + c);
            out[0] = d * d;
        });
        for (int c = 0; c < channels; ++c) {
            const double var = squares[c] / n;
            inverse[c] = float(1 / std::sqrt(var + EPS));
            running_mean[c] += RUNNING * (mean[c] - running_mean[c]);
            running_var[c] += RUNNING * (float(squares[c] / (n - 1)) - running_var[c]);
            scale[c] = gamma[c] * inverse[c];
            shift[c] = beta[c] - mean[c] * scale[c];
        }
    }

    void fold() {  // for evaluation
        for (int c = 0; c < channels; ++c) {
            scale[c] = gamma[c] / std::sqrt(running_var[c] + EPS);
            shift[c] = beta[c] - running_mean[c] * scale[c];
        }
    }

    // out (+)= normalised z
    void apply(const Tensor& z, Tensor& out, int images, bool add) const {
        each(
            z, images,
            [&](int b, long i, long o, int c) INLINED {
                const v8 value =
                    *(const v8*)(z.at(b) + i) * *(const v8*)(scale.data() + c) + *(const v8*)(shift.data() + c);
                v8* d = (v8*)(out.at(b) + o);
                *d = add ? *d + value : value;
            },
            out);
    }

    template <class F>
    void each(const Tensor& z, int images, F&& f, const Tensor& out) const {
        for (int b = 0; b < images; ++b)
            for (int y = 0; y < z.size; ++y)
                for (int x = 0; x < z.size; ++x)
                    for (int c = 0; c < channels; c += 8)
                        f(b, y * z.row() + long(x) * channels + c, y * out.row() + long(x) * channels + c, c);
    }

    // dz from the gradient dy of the output; sets the gradients of gamma and beta.
    void back(const Tensor& z, const Tensor& dy, Tensor& dz, int images) {
        std::vector<double> both(2 * channels);
        sums<2>(images, z.size, both.data(), [&](int b, int y, int x, int c, v8* out) INLINED {
            out[0] = *(const v8*)(dy.at(b) + y * dy.row() + long(x) * channels + c);
            out[1] =
                out[0] * (*(const v8*)(z.at(b) + y * z.row() + long(x) * channels + c) - *(const v8*)(mean.data() + c));
        });
        const double n = double(images) * z.size * z.size;
        std::vector<float> a(channels), slope(channels), constant(channels);
        for (int c = 0; c < channels; ++c) {
            dbeta[c] = float(both[c]);
            dgamma[c] = float(both[channels + c] * inverse[c]);
            a[c] = gamma[c] * inverse[c];  // dz = a dy + slope z + constant
            slope[c] = float(-a[c] * inverse[c] * double(inverse[c]) * both[channels + c] / n);
            constant[c] = float(-a[c] * both[c] / n - double(slope[c]) * mean[c]);
        }
        for (int b = 0; b < images; ++b)
            for (int y = 0; y < z.size; ++y)
                for (int x = 0; x < z.size; ++x)
                    for (int c = 0; c < channels; c += 8) {
                        const v8 g = *(const v8*)(dy.at(b) + y * dy.row() + long(x) * channels + c);
                        const v8 v = *(const v8*)(z.at(b) + y * z.row() + long(x) * channels + c);
                        *(v8*)(dz.at(b) + y * dz.row() + long(x) * channels + c) =
                            g * *(const v8*)(a.data() + c) +
                            (v * *(const v8*)(slope.data() + c) + *(const v8*)(constant.data() + c));
                    }
    }
};

template <class F>
void rows(const Tensor& t, int images, F&& f) {
    for (int b = 0; b < images; ++b)
        for (int y = 0; y < t.size; ++y) f(b, y);
}

void rectify(const Tensor& x, Tensor& out, int images) {
    const int n = x.size * x.channels;
    rows(x, images, [&](int b, int y) {
        const float* s = x.at(b) + y * x.row();
        float* d = out.at(b) + y * out.row();
        for (int i = 0; i < n; ++i) d[i] = s[i] > 0 ? s[i] : 0;
    });
}

// dx (+)= dr where x is positive
void rectify_back(const Tensor& x, const Tensor& dr, Tensor& dx, int images, bool add) {
    const int n = x.size * x.channels;
    rows(x, images, [&](int b, int y) {
        const float *s = x.at(b) + y * x.row(), *g = dr.at(b) + y * dr.row();
        float* d = dx.at(b) + y * dx.row();
        if (add)
            for (int i = 0; i < n; ++i) d[i] += s[i] > 0 ? g[i] : 0;
        else
            for (int i = 0; i < n; ++i) d[i] = s[i] > 0 ? g[i] : 0;
    });
}

void copy(const Tensor& x, Tensor& out, int images, bool add) {
    const int n = x.size * x.channels;
    rows(x, images, [&](int b, int y) {
        const float* s = x.at(b) + y * x.row();
        float* d = out.at(b) + y * out.row();
        if (add)
            for (int i = 0; i < n; ++i) d[i] += s[i];
        else
            std::memcpy(d, s, n * sizeof(float));
    });
}

void zero(Tensor& x, int images) {
    rows(x, images, [&](int b, int y) { std::memset(x.at(b) + y * x.row(), 0, x.size * x.channels * sizeof(float)); });
}

// 3x3 sums of an image, the border left out: sums of three rows, then of three pixels.
struct Boxes {
    std::vector<float> shares, scaled, three;
    // out (+)= box(x) / pixels of the window, or box(x / pixels of the window), which is the way back.
    void run(const Tensor& x, Tensor& out, int images, bool divide_after, bool add) {
        const int size = x.size, c = x.channels, n = size * c;
        auto pixels = [&](int i) { return 1 + (i > 0) + (i < size - 1); };
        shares.resize(long(size) * size);
        for (int y = 0; y < size; ++y)
            for (int px = 0; px < size; ++px) shares[y * size + px] = 1.0f / float(pixels(y) * pixels(px));
        scaled.resize(long(size) * n);
        three.assign(n + 2 * c, 0.0f);
        for (int b = 0; b < images; ++b) {
            const float* source = x.at(b);
            if (!divide_after) {
                for (int y = 0; y < size; ++y)
                    for (int px = 0; px < size; ++px)
                        for (int i = 0; i < c; i += 8)
                            *(v8*)(scaled.data() + y * n + px * c + i) =
                                *(const v8*)(source + y * x.row() + px * c + i) * shares[y * size + px];
                source = scaled.data();
            }
            const long step = divide_after ? x.row() : n;
            float* t = three.data() + c;
            for (int y = 0; y < size; ++y) {
                const float *middle = source + y * step, *above = y > 0 ? middle - step : nullptr;
                const float* below = y < size - 1 ? middle + step : nullptr;
                for (int i = 0; i < n; i += 8) {
                    v8 sum = *(const v8*)(middle + i);
                    if (above) sum = *(const v8*)(above + i) + sum;
                    if (below) sum = sum + *(const v8*)(below + i);
                    *(v8*)(t + i) = sum;
                }
                float* d = out.at(b) + y * out.row();
                for (int px = 0; px < size; ++px) {
                    const float f = divide_after ? shares[y * size + px] : 1.0f;
                    for (int i = px * c; i < (px + 1) * c; i += 8) {
                        v8 sum = ((*(const v8*)(t + i - c) + *(const v8*)(t + i)) + *(const v8*)(t + i + c)) * f;
                        if (add) sum += *(const v8*)(d + i);
                        *(v8*)(d + i) = sum;
                    }
                }
            }
        }
    }
};

constexpr int NONE = 0, SKIP = 1, CONV1 = 2, CONV3 = 3, POOL = 4;
constexpr int SOURCES[6] = {0, 0, 1, 0, 1, 2}, TARGETS[6] = {1, 2, 2, 3, 3, 3};

// Weights of one convolution, and what has to be done with them.
struct Weights {
    long offset = 0;
    int ci = 0, co = 0, k = 0;
    long count() const { return long(ci) * co * k * k; }
};

struct Job {
    int32_t image_size, image_channels, n_classes, n_cells, channels, batch;
    float weight_decay;
    int32_t operations[6];
};

// Random crops: (n, 3) rows and columns to move by and whether to mirror, and a pixel of the border.
struct Crops {
    const int32_t* of_image;
    const float* black;
};

class Network {
public:
    Network(const Job& job, int images) : job_(job), capacity_(images) {
        long n = 0;
        plan(n);
        values_.assign(n, 0);
        gradients_.assign(n, 0);
        momentum_.assign(n, 0);
        bind();
    }

    long size() const { return long(values_.size()); }

    // Initial weights: convolutions as (co, ci, k, k) in the order of torch's parameters, then the classifier.
    long initial_count() const {
        long n = long(job_.n_classes) * (last_width_ + 1);
        for (const auto& w : weights_) n += w.count();
        return n;
    }

    void initialise(const float* from) {
        for (const auto& w : weights_) {
            for (int co = 0; co < w.co; ++co)
                for (int ci = 0; ci < w.ci; ++ci)
                    for (int t = 0; t < w.k * w.k; ++t) values_[w.offset + long(t * w.ci + ci) * w.co + co] = *from++;
        }
        const long n = long(job_.n_classes) * (last_width_ + 1);
        std::copy(from, from + n, values_.begin() + classifier_);
        for (auto& norm : norms_) std::fill(norm.gamma, norm.gamma + norm.channels, 1.0f);
    }

    // One step on some images; the mean loss.
    float step(const float* pixels, const int32_t* labels, const int32_t* chosen, int images, float rate,
               float momentum, const Crops* crops = nullptr) {
        load(pixels, chosen, images, crops);
        forward(images, true);
        const float loss = head(labels, chosen, images);
        backward(images);
        descend(rate, momentum);
        ++steps_;
        return loss;
    }

    // Classes and summed loss of n images.
    double predict(const float* pixels, const int32_t* labels, int n, int32_t* predicted) {
        for (auto& norm : norms_) norm.fold();
        const int part = std::min(capacity_, 10);
        double total = 0;
        std::vector<int32_t> chosen(part);
        for (int start = 0; start < n; start += part) {
            const int images = std::min(part, n - start);
            for (int i = 0; i < images; ++i) chosen[i] = start + i;
            load(pixels, chosen.data(), images);
            forward(images, false);
            total += judge(labels + start, images, predicted + start);
        }
        return total;
    }

    // Values or gradients in the order of `initialise`.
    void torch_order(const std::vector<float>& from, float* to) const {
        for (const auto& w : weights_)
            for (int co = 0; co < w.co; ++co)
                for (int ci = 0; ci < w.ci; ++ci)
                    for (int t = 0; t < w.k * w.k; ++t) *to++ = from[w.offset + long(t * w.ci + ci) * w.co + co];
        const long n = long(job_.n_classes) * (last_width_ + 1);
        std::copy(from.begin() + classifier_, from.begin() + classifier_ + n, to);
    }
    void gradients(float* to) const { torch_order(gradients_, to); }

    // Trained weights in the order of `initialise`, then gamma, beta, running mean and variance of each normalisation.
    void trained(float* to) const {
        torch_order(values_, to);
        to += initial_count();
        for (const auto& norm : norms_)
            for (const float* part :
                 {(const float*)norm.gamma, (const float*)norm.beta, norm.running_mean.data(), norm.running_var.data()})
                to = std::copy(part, part + norm.channels, to);
    }

    // Everything that a step changes: values, momentum, running statistics.
    long state_count() const {
        long n = 2 * size();
        for (const auto& norm : norms_) n += 2 * norm.channels;
        return n;
    }
    long trained_count() const {
        long n = initial_count();
        for (const auto& norm : norms_) n += 4 * norm.channels;
        return n;
    }
    int64_t state(float* to) const {
        to = std::copy(momentum_.begin(), momentum_.end(), std::copy(values_.begin(), values_.end(), to));
        for (const auto& norm : norms_)
            to = std::copy(norm.running_var.begin(), norm.running_var.end(),
                           std::copy(norm.running_mean.begin(), norm.running_mean.end(), to));
        return steps_;
    }
    void restore(const float* from, int64_t steps) {
        auto take = [&](std::vector<float>& to) {
            std::copy(from, from + to.size(), to.begin());
            from += to.size();
        };
        take(values_);
        take(momentum_);
        for (auto& norm : norms_) {
            take(norm.running_mean);
            take(norm.running_var);
        }
        steps_ = steps;
    }

    const Job& job() const { return job_; }

private:
    struct Edge {
        int op, source, target, weights = -1, norm = -1;
        Tensor z;
    };
    struct Cell {
        int width = 0, size = 0;
        std::vector<Edge> edges;
        Tensor node[4], relu[4], dnode[4], dr[4];
        bool needs_relu[4] = {};
        bool used[4] = {};
        Tensor dz;
    };
    struct Reduction {
        int width = 0, size = 0;  // of the input
        int first, second, shortcut, norm1, norm2;
        Tensor relu, z1, y1, relu1, z2, pooled, dz2, dr1, dz1, dr, dpooled;
    };

    Job job_;
    int capacity_, last_width_ = 0, last_size_ = 0;
    long classifier_ = 0;
    int64_t steps_ = 0;
    Arena arena_;
    std::vector<Weights> weights_;
    std::vector<Norm> norms_;
    std::vector<std::pair<long, int>> norm_offsets_;
    std::vector<float> values_, gradients_, momentum_, turned_;
    std::vector<Cell> cells_;
    std::vector<Reduction> reductions_;  // reduction i stands before stage i + 1
    Tensor images_, stem_z_, stem_dz_, out_, dout_;
    int stem_ = 0, stem_norm_ = 0, last_norm_ = 0;
    std::vector<float> pooled_, logits_, dpooled_;
    Boxes boxes_;

    int weights(int ci, int co, int k, long& n) {
        weights_.push_back({n, ci, co, k});
        n += weights_.back().count();
        return int(weights_.size()) - 1;
    }
    int norm(int c, long& n) {
        norms_.emplace_back();
        norms_.back().init(c);
        norm_offsets_.push_back({n, c});
        n += 2 * c;
        return int(norms_.size()) - 1;
    }

    void plan(long& n) {
        int width = job_.channels, size = job_.image_size;
        images_ = arena_.tensor(capacity_, size, job_.image_channels, 1);
        stem_ = weights(job_.image_channels, width, 3, n);
        stem_norm_ = norm(width, n);
        stem_z_ = arena_.tensor(capacity_, size, width);
        stem_dz_ = arena_.tensor(capacity_, size, width);
        for (int stage = 0; stage < 3; ++stage) {
            if (stage) {
                Reduction r;
                r.width = width;
                r.size = size;
                r.first = weights(width, 2 * width, 3, n);
                r.norm1 = norm(2 * width, n);
                r.second = weights(2 * width, 2 * width, 3, n);
                r.norm2 = norm(2 * width, n);
                r.shortcut = weights(width, 2 * width, 1, n);
                r.relu = arena_.tensor(capacity_, size, width, 1);
                r.dr = arena_.tensor(capacity_, size, width);
                size /= 2;
                r.pooled = arena_.tensor(capacity_, size, width);
                r.dpooled = arena_.tensor(capacity_, size, width);
                width *= 2;
                for (Tensor* t : {&r.z1, &r.y1, &r.z2, &r.dr1}) *t = arena_.tensor(capacity_, size, width);
                for (Tensor* t : {&r.relu1, &r.dz1, &r.dz2}) *t = arena_.tensor(capacity_, size, width, 1);
                reductions_.push_back(r);
            }
            for (int i = 0; i < job_.n_cells; ++i) {
                Cell c;
                c.width = width;
                c.size = size;
                for (int e = 0; e < 6; ++e) {
                    if (job_.operations[e] == NONE) continue;
                    Edge edge{job_.operations[e], SOURCES[e], TARGETS[e], -1, -1, {}};
                    if (edge.op == CONV1 || edge.op == CONV3) {
                        edge.weights = weights(width, width, edge.op == CONV1 ? 1 : 3, n);
                        edge.norm = norm(width, n);
                        edge.z = arena_.tensor(capacity_, size, width);
                        c.needs_relu[edge.source] = true;
                    }
                    c.used[edge.source] = c.used[edge.target] = true;
                    c.edges.push_back(edge);
                }
                for (int k = 0; k < 4; ++k) {
                    if (!c.used[k]) continue;
                    c.node[k] = arena_.tensor(capacity_, size, width);
                    c.dnode[k] = arena_.tensor(capacity_, size, width);
                    if (c.needs_relu[k]) {
                        c.relu[k] = arena_.tensor(capacity_, size, width, 1);
                        c.dr[k] = arena_.tensor(capacity_, size, width);
                    }
                }
                c.dz = arena_.tensor(capacity_, size, width, 1);
                cells_.push_back(c);
            }
        }
        out_ = arena_.tensor(capacity_, size, width);
        dout_ = arena_.tensor(capacity_, size, width);
        last_norm_ = norm(width, n);
        last_width_ = width;
        last_size_ = size;
        classifier_ = n;
        n += long(job_.n_classes) * (width + 1);
        long largest = 0;
        for (const auto& w : weights_) largest = std::max(largest, w.count());
        turned_.resize(largest);
        pooled_.resize(long(capacity_) * width);
        dpooled_.resize(long(capacity_) * width);
        logits_.resize(long(capacity_) * job_.n_classes);
    }

    void bind() {
        for (size_t i = 0; i < norms_.size(); ++i) {
            const auto [offset, c] = norm_offsets_[i];
            norms_[i].gamma = values_.data() + offset;
            norms_[i].beta = norms_[i].gamma + c;
            norms_[i].dgamma = gradients_.data() + offset;
            norms_[i].dbeta = norms_[i].dgamma + c;
        }
    }

    void load(const float* pixels, const int32_t* chosen, int images, const Crops* crops = nullptr) {
        const int size = job_.image_size, channels = job_.image_channels;
        const long row = long(size) * channels, image = row * size;
        rows(images_, images, [&](int b, int y) {
            const float* source = pixels + chosen[b] * image;
            float* to = images_.at(b) + y * images_.row();
            if (!crops) {
                std::memcpy(to, source + y * row, row * sizeof(float));
                return;
            }
            const int32_t* crop = crops->of_image + 3L * chosen[b];
            const int from_y = y + crop[0];
            for (int x = 0; x < size; ++x) {
                const int from_x = (crop[2] ? size - 1 - x : x) + crop[1];
                const bool inside = from_y >= 0 && from_y < size && from_x >= 0 && from_x < size;
                const float* pixel = inside ? source + from_y * row + long(from_x) * channels : crops->black;
                std::memcpy(to + long(x) * channels, pixel, channels * sizeof(float));
            }
        });
    }

    const float* value(int w) const { return values_.data() + weights_[w].offset; }
    float* gradient(int w) { return gradients_.data() + weights_[w].offset; }

    // node (+)= norm(conv(in)); z keeps the convolution while training.
    template <int CI, int CO, int K, int STRIDE>
    void conv_norm(const Tensor& in, int w, int n, Tensor& z, Tensor& node, int images, bool training, bool add) {
        Norm& norm = norms_[n];
        if (training) {
            conv<CI, CO, K, STRIDE, STORE>(in, value(w), z, images);
            norm.measure(z, images);
            norm.apply(z, node, images, add);
        } else if (add) {
            conv<CI, CO, K, STRIDE, ADD_AFFINE>(in, value(w), node, images, norm.scale.data(), norm.shift.data());
        } else {
            conv<CI, CO, K, STRIDE, AFFINE>(in, value(w), node, images, norm.scale.data(), norm.shift.data());
        }
    }

    template <class F>
    static void with_width(int width, F&& f) {
        switch (width) {
            case 8:
                f(std::integral_constant<int, 8>{});
                break;
            case 16:
                f(std::integral_constant<int, 16>{});
                break;
            case 32:
                f(std::integral_constant<int, 32>{});
                break;
            case 64:
                f(std::integral_constant<int, 64>{});
                break;
        }
    }

    void forward(int images, bool training) {
        with_width(job_.channels, [&](auto c) {
            conv_norm<3, c, 3, 1>(images_, stem_, stem_norm_, stem_z_, cells_[0].node[0], images, training, false);
        });
        for (size_t i = 0; i < cells_.size(); ++i) {
            Tensor* next = i + 1 == cells_.size() ? &out_ : nullptr;
            cell_forward(cells_[i], images, training);
            if (next) {
                copy(cells_[i].node[3], out_, images, false);
            } else if (cells_[i + 1].width == cells_[i].width) {
                copy(cells_[i].node[3], cells_[i + 1].node[0], images, false);
            } else {
                Reduction& r = reductions_[(i + 1) / job_.n_cells - 1];
                with_width(r.width, [&](auto c) {
                    if constexpr (c < 64)
                        reduction_forward<c>(r, cells_[i].node[3], cells_[i + 1].node[0], images, training);
                });
            }
        }
    }

    void cell_forward(Cell& c, int images, bool training) {
        bool begun[4] = {true, false, false, false};
        for (int target = 0; target < 4; ++target) {
            for (Edge& e : c.edges) {
                if (e.target != target) continue;
                Tensor& to = c.node[target];
                const bool add = begun[target];
                begun[target] = true;
                if (e.op == SKIP)
                    copy(c.node[e.source], to, images, add);
                else if (e.op == POOL)
                    boxes_.run(c.node[e.source], to, images, true, add);
                else
                    with_width(c.width, [&](auto w) {
                        if (e.op == CONV1)
                            conv_norm<w, w, 1, 1>(c.relu[e.source], e.weights, e.norm, e.z, to, images, training, add);
                        else
                            conv_norm<w, w, 3, 1>(c.relu[e.source], e.weights, e.norm, e.z, to, images, training, add);
                    });
            }
            if (c.needs_relu[target]) rectify(c.node[target], c.relu[target], images);
        }
    }

    template <int C>
    void reduction_forward(Reduction& r, const Tensor& x, Tensor& out, int images, bool training) {
        rectify(x, r.relu, images);
        conv_norm<C, 2 * C, 3, 2>(r.relu, r.first, r.norm1, r.z1, r.y1, images, training, false);
        rectify(r.y1, r.relu1, images);
        conv_norm<2 * C, 2 * C, 3, 1>(r.relu1, r.second, r.norm2, r.z2, out, images, training, false);
        rows(r.pooled, images, [&](int b, int y) {
            const float *a = x.at(b) + 2 * y * x.row(), *s = a + x.row();
            float* d = r.pooled.at(b) + y * r.pooled.row();
            for (int px = 0; px < r.pooled.size; ++px)
                for (int i = 0; i < C; ++i)
                    d[px * C + i] = ((a[2 * px * C + i] + a[(2 * px + 1) * C + i]) +
                                     (s[2 * px * C + i] + s[(2 * px + 1) * C + i])) *
                                    0.25f;
        });
        conv<C, 2 * C, 1, 1, ADD>(r.pooled, value(r.shortcut), out, images);
    }

    // Pooled features and logits of out_; scale and shift of the last normalisation are set.
    void logits(int images) {
        const Norm& norm = norms_[last_norm_];
        const int w = last_width_, pixels = last_size_ * last_size_;
        const float *weight = values_.data() + classifier_, *bias = weight + long(job_.n_classes) * w;
        for (int b = 0; b < images; ++b) {
            float* p = pooled_.data() + long(b) * w;
            std::fill(p, p + w, 0.0f);
            for (int px = 0; px < pixels; ++px)
                for (int c = 0; c < w; ++c) {
                    const float v = out_.at(b)[px * w + c] * norm.scale[c] + norm.shift[c];
                    p[c] += v > 0 ? v : 0;
                }
            for (int c = 0; c < w; ++c) p[c] /= float(pixels);
            for (int k = 0; k < job_.n_classes; ++k) {
                v8 acc = {};
                for (int c = 0; c < w; c += 8) acc += *(const v8*)(p + c) * *(const v8*)(weight + long(k) * w + c);
                logits_[long(b) * job_.n_classes + k] =
                    (((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]))) + bias[k];
            }
        }
    }

    double judge(const int32_t* labels, int images, int32_t* predicted) {
        logits(images);
        double total = 0;
        for (int b = 0; b < images; ++b) {
            const float* l = logits_.data() + long(b) * job_.n_classes;
            const int best = int(std::max_element(l, l + job_.n_classes) - l);
            double sum = 0;
            for (int k = 0; k < job_.n_classes; ++k) sum += std::exp(double(l[k]) - l[best]);
            total += std::log(sum) - (double(l[labels[b]]) - l[best]);
            predicted[b] = best;
        }
        return total;
    }

    // Loss of the training images, and the gradients down to out_.
    float head(const int32_t* labels, const int32_t* chosen, int images) {
        Norm& norm = norms_[last_norm_];
        norm.measure(out_, images);
        logits(images);
        const int w = last_width_, k_max = job_.n_classes, pixels = last_size_ * last_size_;
        float *dweight = gradients_.data() + classifier_, *dbias = dweight + long(k_max) * w;
        const float* weight = values_.data() + classifier_;
        std::fill(dweight, dbias + k_max, 0.0f);
        std::fill(dpooled_.begin(), dpooled_.end(), 0.0f);
        double loss = 0;
        std::vector<double> e(k_max);
        for (int b = 0; b < images; ++b) {
            const float* l = logits_.data() + long(b) * k_max;
            const int label = labels[chosen[b]];
            const float best = *std::max_element(l, l + k_max);
            double sum = 0;
            for (int k = 0; k < k_max; ++k) sum += e[k] = std::exp(double(l[k]) - best);
            loss += std::log(sum) - (double(l[label]) - best);
            const float* p = pooled_.data() + long(b) * w;
            float* dp = dpooled_.data() + long(b) * w;
            for (int k = 0; k < k_max; ++k) {
                const float d = float((e[k] / sum - (k == label)) / images);
                dbias[k] += d;
                for (int c = 0; c < w; ++c) {
                    dweight[long(k) * w + c] += d * p[c];
                    dp[c] += d * weight[long(k) * w + c];
                }
            }
        }
        for (int b = 0; b < images; ++b)
            for (int px = 0; px < pixels; ++px)
                for (int c = 0; c < w; ++c) {
                    const float v = out_.at(b)[px * w + c] * norm.scale[c] + norm.shift[c];
                    dout_.at(b)[px * w + c] = v > 0 ? dpooled_[long(b) * w + c] / float(pixels) : 0.0f;
                }
        norm.back(out_, dout_, cells_.back().dnode[3], images);
        return float(loss / images);
    }

    void backward(int images) {
        for (int i = int(cells_.size()) - 1; i >= 0; --i) {
            cell_backward(cells_[i], images);
            Tensor& d = cells_[i].dnode[0];
            if (i == 0) {
                norms_[stem_norm_].back(stem_z_, d, stem_dz_, images);
                with_width(job_.channels,
                           [&](auto c) { conv_weights<3, c, 3, 1>(images_, stem_dz_, gradient(stem_), images); });
            } else if (cells_[i - 1].width == cells_[i].width) {
                copy(d, cells_[i - 1].dnode[3], images, false);
            } else {
                Reduction& r = reductions_[i / job_.n_cells - 1];
                with_width(r.width, [&](auto c) {
                    if constexpr (c < 64)
                        reduction_backward<c>(r, cells_[i - 1].node[3], d, cells_[i - 1].dnode[3], images);
                });
            }
        }
    }

    void cell_backward(Cell& c, int images) {
        bool begun[4] = {false, false, false, true}, rectified[4] = {};
        for (int target = 3; target >= 0; --target) {
            // every edge that leaves this node has sent its gradient
            if (rectified[target]) {
                rectify_back(c.node[target], c.dr[target], c.dnode[target], images, begun[target]);
                begun[target] = true;
            }
            for (Edge& e : c.edges) {
                if (e.target != target) continue;
                const Tensor& dy = c.dnode[target];
                if (e.op == SKIP) {
                    copy(dy, c.dnode[e.source], images, begun[e.source]);
                    begun[e.source] = true;
                } else if (e.op == POOL) {
                    boxes_.run(dy, c.dnode[e.source], images, false, begun[e.source]);
                    begun[e.source] = true;
                } else {
                    norms_[e.norm].back(e.z, dy, c.dz, images);
                    with_width(c.width, [&](auto w) {
                        if (e.op == CONV1)
                            edge_back<w, 1>(c, e, images, rectified[e.source]);
                        else
                            edge_back<w, 3>(c, e, images, rectified[e.source]);
                    });
                    rectified[e.source] = true;
                }
            }
        }
    }

    template <int C, int K>
    void edge_back(Cell& c, Edge& e, int images, bool add) {
        conv_weights<C, C, K, 1>(c.relu[e.source], c.dz, gradient(e.weights), images);
        transposed<C, C, K>(value(e.weights), turned_.data(), true);
        if (add)
            conv<C, C, K, 1, ADD>(c.dz, turned_.data(), c.dr[e.source], images);
        else
            conv<C, C, K, 1, STORE>(c.dz, turned_.data(), c.dr[e.source], images);
    }

    template <int C>
    void reduction_backward(Reduction& r, const Tensor& x, const Tensor& d, Tensor& dx, int images) {
        norms_[r.norm2].back(r.z2, d, r.dz2, images);
        conv_weights<2 * C, 2 * C, 3, 1>(r.relu1, r.dz2, gradient(r.second), images);
        transposed<2 * C, 2 * C, 3>(value(r.second), turned_.data(), true);
        conv<2 * C, 2 * C, 3, 1, STORE>(r.dz2, turned_.data(), r.dr1, images);
        rectify_back(r.y1, r.dr1, r.dr1, images, false);
        norms_[r.norm1].back(r.z1, r.dr1, r.dz1, images);
        conv_weights<C, 2 * C, 3, 2>(r.relu, r.dz1, gradient(r.first), images);
        transposed<C, 2 * C, 3>(value(r.first), turned_.data(), false);
        zero(r.dr, images);
        conv_back_stride2<C, 2 * C>(r.dz1, turned_.data(), r.dr, images);
        rectify_back(x, r.dr, dx, images, false);
        conv_weights<C, 2 * C, 1, 1>(r.pooled, d, gradient(r.shortcut), images);
        transposed<C, 2 * C, 1>(value(r.shortcut), turned_.data(), true);
        conv<2 * C, C, 1, 1, STORE>(d, turned_.data(), r.dpooled, images);
        rows(r.dpooled, images, [&](int b, int y) {
            const float* s = r.dpooled.at(b) + y * r.dpooled.row();
            for (int half = 0; half < 2; ++half) {
                float* t = dx.at(b) + (2 * y + half) * dx.row();
                for (int px = 0; px < r.dpooled.size; ++px)
                    for (int i = 0; i < C; ++i) {
                        const float v = s[px * C + i] * 0.25f;
                        t[2 * px * C + i] += v;
                        t[(2 * px + 1) * C + i] += v;
                    }
            }
        });
    }

    // Nesterov's momentum with weight decay, as torch.optim.SGD has it.
    void descend(float rate, float momentum) {
        const long n = size();
        const bool first = steps_ == 0;
        for (long i = 0; i < n; ++i) {
            const float g = gradients_[i] + job_.weight_decay * values_[i];
            momentum_[i] = first ? g : momentum * momentum_[i] + g;
            values_[i] -= rate * (g + momentum * momentum_[i]);
        }
    }
};

double processor_seconds() {
#ifdef CLOCK_THREAD_CPUTIME_ID
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
#else
    return double(std::clock()) / CLOCKS_PER_SEC;
#endif
}

}  // namespace

extern "C" {

// A network with its initial weights; null where memory is short.
Network* nb201_new(const Job* job, const float* initial) {
    try {
        auto network = std::make_unique<Network>(*job, job->batch);
        network->initialise(initial);
        return network.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void nb201_free(Network* network) { delete network; }

// Numbers in `initial`, parameters, and numbers in what `nb201_state` and `nb201_trained` write, (4,).
void nb201_counts(const Network* network, int64_t* counts) {
    counts[0] = network->initial_count();
    counts[1] = network->size();
    counts[2] = network->state_count();
    counts[3] = network->trained_count();
}

// One pass over n images (size, size, channels) in an order, with the rate and momentum of each step; the mean of the
// steps' losses. Adds the seconds of this core.
double nb201_epoch(Network* network, const float* pixels, const int32_t* labels, const int32_t* order, int n,
                   const float* rates, const float* momenta, const int32_t* crops, const float* black,
                   double* seconds) {
    const double began = processor_seconds();
    const Crops cropped{crops, black};
    double sum = 0;
    int steps = 0;
    for (int start = 0; start < n; start += network->job().batch, ++steps) {
        const int images = std::min(network->job().batch, n - start);
        sum += network->step(pixels, labels, order + start, images, rates[steps], momenta[steps],
                             crops ? &cropped : nullptr);
    }
    *seconds += processor_seconds() - began;
    return sum / steps;
}

// Classes (n,) and mean loss of n images.
double nb201_predict(Network* network, const float* pixels, const int32_t* labels, int n, int32_t* predicted) {
    return network->predict(pixels, labels, n, predicted) / n;
}

// Writes everything that a step changes, and returns the number of steps.
int64_t nb201_state(const Network* network, float* to) { return network->state(to); }
void nb201_restore(Network* network, const float* from, int64_t steps) { network->restore(from, steps); }

// Trained weights in the order of `initial`; then gamma, beta, running mean and variance of each normalisation.
void nb201_trained(const Network* network, float* to) { network->trained(to); }

// Mean loss of n images, and its gradients in the order of `initial`; the weights stay.
float nb201_gradients(Network* network, const float* pixels, const int32_t* labels, int n, float* gradients) {
    std::vector<int32_t> chosen(n);
    for (int i = 0; i < n; ++i) chosen[i] = i;
    const float loss = network->step(pixels, labels, chosen.data(), n, 0.0f, 0.0f);
    network->gradients(gradients);
    return loss;
}
}
