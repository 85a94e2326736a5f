/* Batch norm of x (n, c, d), float, contiguous, into y: by the batch where it trains, by the running statistics else. */
#include <math.h>
#include <stddef.h>

void batch_norm(const float *x, float *y, const float *gamma, const float *beta, float *running_mean,
                float *running_var, size_t n, size_t c, size_t d, float momentum, float eps, int training) {
  for (size_t channel = 0; channel < c; ++channel) {
    double mean = running_mean[channel], var = running_var[channel], m = (double)(n * d);
    if (training && m > 0) {
      double sum = 0, squares = 0;
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < d; ++j) sum += x[(i * c + channel) * d + j];
      mean = sum / m;
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < d; ++j) {
          double deviation = x[(i * c + channel) * d + j] - mean;
          squares += deviation * deviation;
        }
      var = squares / m;
      running_mean[channel] += momentum * (float)(mean - running_mean[channel]);
      running_var[channel] += momentum * (float)(squares / (m - 1) - running_var[channel]);
    }
    double rstd = 1 / sqrt(var + eps);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < d; ++j) {
        size_t at = (i * c + channel) * d + j;
        y[at] = (float)((x[at] - mean) * rstd * gamma[channel] + beta[channel]);
      }
  }
}
