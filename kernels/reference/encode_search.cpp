#include "kernels/reference/encode_search.h"

#include <cmath>

namespace powerhouse::encoding {

void weigh(const float* x, const float* importance, float spread, int count, float* weights) {
  for (int i = 0; i < count; ++i) weights[i] = importance[i] * std::sqrt(spread + x[i] * x[i]);
}

namespace {

struct Fit {  // of x to given codes
  float codes = 0.0f, squares = 0.0f, products = 0.0f;
};

Fit sums(const float* x, const float* weights, const std::uint8_t* codes, int count) {
  Fit fit;
  for (int i = 0; i < count; ++i) {
    const auto code = static_cast<float>(codes[i]);
    fit.codes += weights[i] * code;
    fit.squares += weights[i] * code * code;
    fit.products += weights[i] * code * x[i];
  }
  return fit;
}

float error_of(const AffineSearch& search, float scale, float low, int count, const float* x, const float* weights,
               const std::uint8_t* codes) {
  float error = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float off = scale * static_cast<float>(codes[i]) + low - x[i];
    error += weights[i] * (search.absolute ? magnitude(off) : off * off);
  }
  return error;
}

void round_codes(int most, float turn, float low, const float* x, int count, std::uint8_t* codes) {
  for (int i = 0; i < count; ++i) codes[i] = static_cast<std::uint8_t>(between(nearest(turn * (x[i] - low)), 0, most));
}

}  // namespace

Affine search_affine(const AffineSearch& search, int count, const float* x, const float* weights, std::uint8_t* codes) {
  float low = x[0];
  float high = x[0];
  float weight = weights[0];
  float moment = weight * x[0];
  for (int i = 1; i < count; ++i) {
    if (x[i] < low) low = x[i];
    if (x[i] > high) high = x[i];
    weight += weights[i];
    moment += weights[i] * x[i];
  }
  if (low > 0.0f) low = 0.0f;
  if (high == low) {
    for (int i = 0; i < count; ++i) codes[i] = 0;
    return {.scale = 0.0f, .minimum = -low};
  }
  const auto most = static_cast<float>(search.most);
  float turn = most / (high - low);
  float scale = 1.0f / turn;
  round_codes(search.most, turn, low, x, count, codes);
  float least = error_of(search, scale, low, count, x, weights, codes);
  std::uint8_t trial[32];
  for (int i = 0; i <= search.last; ++i) {
    // `low` is the best minimum so far, so that a trial depends on those before it.
    turn = (search.first + search.step * static_cast<float>(i) + most) / (high - low);
    round_codes(search.most, turn, low, x, count, trial);
    const Fit fit = sums(x, weights, trial, count);
    const float determinant = weight * fit.squares - fit.codes * fit.codes;
    if (!(determinant > 0.0f)) continue;
    float trial_scale = (weight * fit.products - moment * fit.codes) / determinant;
    float trial_low = (fit.squares * moment - fit.codes * fit.products) / determinant;
    if (trial_low > 0.0f) {
      trial_low = 0.0f;
      trial_scale = fit.products / fit.squares;
    }
    const float error = error_of(search, trial_scale, trial_low, count, x, weights, trial);
    if (!(error < least)) continue;
    for (int k = 0; k < count; ++k) codes[k] = trial[k];
    least = error;
    scale = trial_scale;
    low = trial_low;
  }
  return {.scale = scale, .minimum = -low};
}

float search_signed(int half, int count, const float* x, const float* weights, std::int8_t* codes) {
  const float most = largest(x, count);
  if (magnitude(most) < kNothing) {
    for (int i = 0; i < count; ++i) codes[i] = 0;
    return 0.0f;
  }
  float scale = 0.0f;
  float best = 0.0f;
  for (int trial = 0; trial < 19; ++trial) {  // 0 first, then -9 .. 9 without it
    const int step = trial == 0 ? 0 : trial - (trial <= 9 ? 10 : 9);
    const float turn = trial == 0 ? static_cast<float>(-half) / most
                                  : -(static_cast<float>(half) + 0.1f * static_cast<float>(step)) / most;
    float products = 0.0f;
    float norms = 0.0f;
    for (int i = 0; i < count; ++i) {
      const auto code = static_cast<float>(between(nearest(turn * x[i]), -half, half - 1));
      products += weights[i] * x[i] * code;
      norms += weights[i] * code * code;
    }
    if (trial == 0) {
      scale = norms != 0.0f ? products / norms : 0.0f;
    } else if (norms > 0.0f && products * products > best * norms) {
      scale = products / norms;
    } else {
      continue;
    }
    best = scale * products;
    for (int i = 0; i < count; ++i) {
      codes[i] = static_cast<std::int8_t>(half + between(nearest(turn * x[i]), -half, half - 1));
    }
  }
  return scale;
}

float search_by_descent(int half, int count, const float* x, std::int8_t* codes) {
  const float most = largest(x, count);
  if (magnitude(most) < kNothing) {
    for (int i = 0; i < count; ++i) codes[i] = 0;
    return 0.0f;
  }
  const float turn = static_cast<float>(-half) / most;
  float products = 0.0f;
  float norms = 0.0f;
  for (int i = 0; i < count; ++i) {
    const int code = between(nearest(turn * x[i]), -half, half - 1);
    codes[i] = static_cast<std::int8_t>(code);
    const float weight = x[i] * x[i];
    products += weight * x[i] * static_cast<float>(code);
    norms += weight * static_cast<float>(code) * static_cast<float>(code);
  }
  for (int round = 0; round < 5; ++round) {
    bool changed = false;
    for (int i = 0; i < count; ++i) {
      const float weight = x[i] * x[i];
      const auto old = static_cast<float>(codes[i]);
      float other_products = products - weight * x[i] * old;
      if (!(other_products > 0.0f)) continue;
      float other_norms = norms - weight * old * old;
      const int code = between(nearest(x[i] * other_norms / other_products), -half, half - 1);
      if (code == codes[i]) continue;
      other_products += weight * x[i] * static_cast<float>(code);
      other_norms += weight * static_cast<float>(code) * static_cast<float>(code);
      if (other_norms > 0.0f && other_products * other_products * norms > products * products * other_norms) {
        codes[i] = static_cast<std::int8_t>(code);
        products = other_products;
        norms = other_norms;
        changed = true;
      }
    }
    if (!changed) break;
  }
  for (int i = 0; i < count; ++i) codes[i] = static_cast<std::int8_t>(codes[i] + half);
  return norms > 0.0f ? products / norms : 0.0f;
}

float search_positive(int most, int count, const float* x, const float* weights, std::uint8_t* codes) {
  float high = 0.0f;
  for (int i = 0; i < count; ++i) high = high > x[i] ? high : x[i];
  if (high < kNothing) {
    for (int i = 0; i < count; ++i) codes[i] = 0;
    return 0.0f;
  }
  float turn = static_cast<float>(most) / high;
  float least = 0.0f;
  for (int i = 0; i < count; ++i) {
    codes[i] = static_cast<std::uint8_t>(nearest(turn * x[i]));
    const float off = x[i] - 1.0f / turn * static_cast<float>(codes[i]);
    least += weights[i] * off * off;
  }
  for (int step = -4; step <= 4; ++step) {
    if (step == 0) continue;
    const float trial = (0.1f * static_cast<float>(step) + static_cast<float>(most)) / high;
    const float scale = 1.0f / trial;
    float error = 0.0f;
    for (int i = 0; i < count; ++i) {
      const int code = nearest(trial * x[i]);
      const float off = x[i] - scale * static_cast<float>(code < most ? code : most);
      error += weights[i] * off * off;
    }
    if (error < least) {
      least = error;
      turn = trial;
    }
  }
  float products = 0.0f;
  float norms = 0.0f;
  for (int i = 0; i < count; ++i) {
    const int rounded = nearest(turn * x[i]);
    const int code = rounded < most ? rounded : most;
    codes[i] = static_cast<std::uint8_t>(code);
    products += weights[i] * x[i] * static_cast<float>(code);
    norms += weights[i] * static_cast<float>(code) * static_cast<float>(code);
  }
  for (int round = 0; round < 5; ++round) {
    bool changed = false;
    for (int i = 0; i < count; ++i) {
      const auto old = static_cast<float>(codes[i]);
      float other_products = products - weights[i] * x[i] * old;
      float other_norms = norms - weights[i] * old * old;
      if (!(other_products > 0.0f && other_norms > 0.0f)) continue;
      const int rounded = nearest(x[i] * other_norms / other_products);
      const int code = rounded < most ? rounded : most;
      if (code == codes[i]) continue;
      other_products += weights[i] * x[i] * static_cast<float>(code);
      other_norms += weights[i] * static_cast<float>(code) * static_cast<float>(code);
      if (other_products * other_products * norms > products * products * other_norms) {
        codes[i] = static_cast<std::uint8_t>(code);
        products = other_products;
        norms = other_norms;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return norms > 0.0f ? products / norms : 0.0f;
}

}  // namespace powerhouse::encoding
