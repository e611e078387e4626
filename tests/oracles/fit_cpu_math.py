"""Prints the polynomials of kernels/cpu/generic/math.h and their largest relative errors.

Least squares with weights raised where the error is largest, which approaches the minimax polynomial.
Ran with numpy 2.4 and mpmath 1.3.
"""
import math

import mpmath
import numpy as np


def fit(function, low, high, degree, weight):
    x = np.cos(np.linspace(0, np.pi, 4001)) * (high - low) / 2 + (low + high) / 2
    y, base, boost = function(x), weight(x), np.ones_like(x)
    powers = np.vander(x, degree + 1, increasing=True)
    for _ in range(60):
        scale = np.sqrt(boost) * base
        coefficients = np.linalg.lstsq(powers * scale[:, None], y * scale, rcond=None)[0]
        error = np.abs((powers @ coefficients - y) * base)
        boost *= error / error.max() + 1e-3
        boost /= boost.mean()
    return coefficients, error.max()


def exp_tail(r):  # (e^r - 1 - r) / r^2
    return sum(r ** (n - 2) / math.factorial(n) for n in range(2, 20))


def tanh_tail(u):  # (tanh z - z) / z^3 with u = z^2
    z, small = np.sqrt(u), u < 1e-4
    return np.where(small, -1 / 3 + 2 * u / 15 - 17 * u * u / 315, (np.tanh(z) - z) / np.where(small, 1, z**3))


def erfc_scaled(t):  # e^(z^2) erfc(z) / t with t = 1 / (1 + z / 2)
    return np.array([float(mpmath.exp(mpmath.mpf(z) ** 2) * mpmath.erfc(z)) / v for v in t for z in [2 * (1 / v - 1)]])


half = math.log(2) / 2 * 1.0001
print("exp ", *fit(exp_tail, -half, half, 4, lambda r: r * r / np.exp(r) + 1e-12))
print("exp2_short", *fit(lambda f: 2**f, -0.5, 0.5, 3, lambda f: 2**-f))
print("tanh", *fit(tanh_tail, 0, 0.625**2, 4, lambda u: u + 1e-12))

# In Chebyshev form, because powers of t on [1 / 6.25, 1] are badly conditioned.
low, degree = 1 / 6.25, 10
s = np.cos(np.linspace(0, np.pi, 801))
y = erfc_scaled(s * (1 - low) / 2 + (1 + low) / 2)
basis, boost = np.polynomial.chebyshev.chebvander(s, degree), np.ones_like(s)
for _ in range(60):
    scale = np.sqrt(boost) / y
    coefficients = np.linalg.lstsq(basis * scale[:, None], y * scale, rcond=None)[0]
    error = np.abs((basis @ coefficients - y) / y)
    boost *= error / error.max() + 1e-3
    boost /= boost.mean()
series = np.polynomial.chebyshev.Chebyshev(coefficients, domain=[low, 1])
print("erfc", series.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1]).coef, error.max())
