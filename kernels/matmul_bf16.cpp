#include "kernels/matmul_bf16.h"

#include <array>

#include "kernels/bf16_products.h"

namespace mixspan::bf16_product {

namespace {

bool is_bf16(const ConstView& x) { return x.dtype() == DType::bf16; }

void check_numbers(const ConstView& x) {
  check(is_bf16(x) || x.dtype() == DType::f32,
        "a product of numbers of type {}; wanted f32 or bf16", name_of(x.dtype()));
}

Source rows_of(const ConstView& x) {
  check_numbers(x);
  return {x.raw(), x.stride(0), false, is_bf16(x)};
}
Source columns_of(const ConstView& x) {
  check_numbers(x);
  return {x.raw(), x.stride(0), true, is_bf16(x)};
}
Target target_of(const View& x) {
  check_numbers(x);
  return {x.raw(), x.stride(0), is_bf16(x)};
}

void start_with(Product& product, const ConstView& start) {
  if (start.empty()) return;
  product.start = start.data<float>();
  product.start_stride = start.stride(0);
}

Product product_of(const View& c, Source a, Source b, std::int64_t K) {
  Product product{};
  product.M = c.dim(0);
  product.N = c.dim(1);
  product.K = K;
  product.a = a;
  product.b = b;
  product.c = target_of(c);
  return product;
}

Product linear(const View& y, const ConstView& x, const ConstView& w, const ConstView& bias) {
  Product product = product_of(y, rows_of(x), rows_of(w), x.dim(1));
  if (!bias.empty()) product.bias = bias.data<float>();
  return product;
}

void run_one(const Exec& ex, const Product& product) { run(ex, std::span(&product, 1)); }

}  // namespace

void matmul(const Exec& ex, View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate accumulate) {
  const bool trans_a = op_a == Transpose::yes, trans_b = op_b == Transpose::yes;
  Product product = product_of(c, trans_a ? columns_of(a) : rows_of(a),
                               trans_b ? rows_of(b) : columns_of(b), a.dim(trans_a ? 0 : 1));
  if (accumulate == Accumulate::add) start_with(product, c);
  run_one(ex, product);
}

void linear_forward(const Exec& ex, View y, ConstView x, ConstView w, ConstView bias,
                    ConstView start) {
  Product product = linear(y, x, w, bias);
  start_with(product, start);
  run_one(ex, product);
}

void linear_gelu_forward(const Exec& ex, View y, View pre, ConstView x, ConstView w,
                         ConstView bias) {
  Product product = linear(pre.empty() ? y : pre, x, w, bias);
  product.gelu = target_of(y);
  run_one(ex, product);
}

void linear_backward(const Exec& ex, View dx, View dw, View dbias, ConstView dy, ConstView x,
                     ConstView w) {
  std::array<Product, 2> products;
  products[0] = product_of(dw, columns_of(dy), columns_of(x), dy.dim(0));
  start_with(products[0], dw);
  if (!dbias.empty()) products[0].a_sums = dbias.data<float>();
  if (!dx.empty()) products[1] = product_of(dx, rows_of(dy), columns_of(w), dy.dim(1));
  run(ex, std::span(products).first(dx.empty() ? 1 : 2));
}

}  // namespace mixspan::bf16_product
