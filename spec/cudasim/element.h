/*
** Elements of device arrays as doubles, by their CUDA type.
*/
#ifndef CUDASIM_ELEMENT_H
#define CUDASIM_ELEMENT_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <cstdint>
#include <cstring>

namespace cudasim {

/* Bytes of an element; 0: a type that is not simulated. */
inline size_t element_bytes(cudaDataType_t type) {
  switch (type) {
  case CUDA_R_64F:
    return 8;
  case CUDA_R_32F:
    return 4;
  case CUDA_R_16F:
  case CUDA_R_16BF:
    return 2;
  default:
    return 0;
  }
}

inline double load_element(const void *p, size_t i, cudaDataType_t type) {
  switch (type) {
  case CUDA_R_64F:
    return static_cast<const double *>(p)[i];
  case CUDA_R_32F:
    return double(static_cast<const float *>(p)[i]);
  case CUDA_R_16F:
    return double(__half2float(static_cast<const __half *>(p)[i]));
  default:
    return double(__bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]));
  }
}

inline void store_element(void *p, size_t i, cudaDataType_t type, double v) {
  switch (type) {
  case CUDA_R_64F:
    static_cast<double *>(p)[i] = v;
    break;
  case CUDA_R_32F:
    static_cast<float *>(p)[i] = float(v);
    break;
  case CUDA_R_16F:
    static_cast<__half *>(p)[i] = __float2half(float(v));
    break;
  default:
    static_cast<__nv_bfloat16 *>(p)[i] = __float2bfloat16(float(v));
    break;
  }
}

/* What the tensor cores make of a float32 operand in TF32 mode: 10 bits of mantissa, halves away from
** zero (PTX ISA, cvt.rna.tf32.f32). */
inline double round_to_tf32(double v) {
  float f = float(v);
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + 0x1000u) & ~0x1fffu;
  memcpy(&f, &bits, sizeof f);
  return double(f);
}

} // namespace cudasim

#endif
