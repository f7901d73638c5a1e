#include "loader/steps.h"

#include <optional>
#include <stdexcept>
#include <utility>

#include "executor/binary.h"
#include "executor/channel_table.h"
#include "executor/copy.h"
#include "executor/dynamic_pool.h"
#include "executor/dynamic_quantize.h"
#include "executor/dynamic_sum.h"
#include "executor/interpolate.h"
#include "executor/layer.h"
#include "executor/matmul.h"
#include "executor/pool.h"
#include "executor/quantize.h"
#include "executor/rows.h"
#include "executor/sizes.h"
#include "executor/table.h"
#include "kernels/catalogue.h"
#include "kernels/prepared_functions.h"
#include "loader/fields.h"
#include "loader/layers.h"

namespace sub8::loader {
namespace {

namespace d = description;
using executor::Buffer;
using executor::require;
using StepPointer = std::shared_ptr<const executor::Step>;

Buffer load(const d::Buffer* field, const Reached& reached) {
    const d::Buffer& buffer = present(field, "a buffer");
    const std::size_t offset = size(buffer.offset()), bytes = size(buffer.bytes());
    switch (buffer.space()) {
        case d::Space_arena:
            return Buffer::in_arena(offset, bytes);
        case d::Space_input:
            return Buffer::input(buffer.number(), bytes);
        case d::Space_output:
            return Buffer::output(buffer.number(), bytes);
        case d::Space_constant:
            require(buffer.number() < reached.constants.size(), "reads a missing constant");
            return reached.constants[buffer.number()];
        default:
            throw std::invalid_argument("a buffer lies nowhere");
    }
}

std::optional<Buffer> load_if_any(const d::Buffer* field, const Reached& reached) {
    if (field == nullptr) return std::nullopt;
    return load(field, reached);
}

executor::PlanarShape load(const d::PlanarShape* field) {
    const d::PlanarShape& shape = present(field, "a shape");
    return {shape.batch(), shape.channels(), shape.plane()};
}

kernels::ResultRange load(const d::Rounding* field) {
    const d::Rounding& rounding = present(field, "a rounding");
    return {rounding.shift(), rounding.zero_point(), rounding.low(), rounding.high()};
}

executor::PoolShape load(const d::PoolShape* field) {
    const d::PoolShape& s = present(field, "a pooling's shape");
    return {s.batch(),         s.height(),       s.width(),
            s.channels(),      s.out_height(),   s.out_width(),
            s.kernel_height(), s.kernel_width(), s.stride_height(),
            s.stride_width(),  s.top(),          s.left(),
            s.bottom(),        s.right(),        s.dilation_height(),
            s.dilation_width()};
}

executor::WindowSums load(const d::WindowSums* field) {
    const d::WindowSums& sums = present(field, "a pooling's sums");
    return {load(sums.shape()), sums.is_signed(), sums.zero_point(), sums.count_include_pad()};
}

executor::Exponent load(const d::Exponent* field, const Reached& reached) {
    const d::Exponent& exponent = present(field, "an exponent");
    return {exponent.added(), load_if_any(exponent.per_image(), reached), exponent.images()};
}

executor::ResultExponent load(const d::ResultExponent* field, const Reached& reached) {
    const d::ResultExponent& exponent = present(field, "a result's exponent");
    return {exponent.fixed(), exponent.is_signed(), load_if_any(exponent.largest(), reached),
            load_if_any(exponent.chosen(), reached)};
}

executor::ElementType load(d::ElementType type) {
    switch (type) {
        case d::ElementType_u8:
            return executor::ElementType::u8;
        case d::ElementType_s8:
            return executor::ElementType::s8;
        case d::ElementType_s32:
            return executor::ElementType::s32;
        default:
            throw std::invalid_argument("elements of an unknown type are not summed");
    }
}

std::optional<executor::RealBound> load(const d::RealBound* bound) {
    if (bound == nullptr) return std::nullopt;
    return executor::RealBound{bound->mantissa(), bound->exponent()};
}

executor::DynamicSum load(const d::DynamicSum* field, const Reached& reached) {
    const d::DynamicSum& sum = present(field, "a sum");
    std::vector<executor::DynamicOperand> operands;
    for (const d::DynamicOperand* operand : present(sum.operands(), "operands of a sum")) {
        operands.push_back({load(operand->values(), reached), load(operand->type()),
                            numbers(operand->strides()), load(operand->exponent(), reached),
                            operand->largest()});
    }
    return {numbers(sum.sizes()), std::move(operands), load(sum.minimum()), load(sum.maximum())};
}

executor::Matrices load_matrices(const d::Operand* field, const Reached& reached) {
    const d::Operand& operand = present(field, "an operand");
    return {load(operand.buffer(), reached), numbers(operand.strides()),
            conv::InputFormat{operand.is_signed(), operand.zero_point()}};
}

StepPointer make(const d::Quantize& s, const Reached& reached) {
    return std::make_shared<executor::Quantize>(
        load(s.x(), reached), load(s.out(), reached), load(s.shape()),
        executor::StaticFormat{s.is_signed(), s.scale(), s.zero_point()});
}

StepPointer make(const d::Dequantize& s, const Reached& reached) {
    return std::make_shared<executor::Dequantize>(
        load(s.x(), reached), load(s.out(), reached), load(s.shape()),
        executor::StaticFormat{s.is_signed(), s.scale(), s.zero_point()});
}

StepPointer make(const d::Softmax& s, const Reached& reached) {
    return std::make_shared<executor::Softmax>(
        load(s.x(), reached), load(s.out(), reached), s.rows(), s.size(), s.factor(),
        load_if_any(s.addend(), reached), load(s.exponentials(), reached),
        executor::StaticFormat{s.is_signed(), s.scale(), 0});
}

StepPointer make(const d::LayerNorm& s, const Reached& reached) {
    return std::make_shared<executor::LayerNorm>(
        load(s.x(), reached), load(s.out(), reached), s.rows(), s.size(),
        executor::StaticFormat{s.x_signed(), s.x_scale(), 0}, s.least(), numbers(s.gamma()),
        numbers(s.beta()), executor::StaticFormat{s.is_signed(), s.scale(), 0});
}

template <typename Step>
StepPointer make_binary(const Step& s, const Reached& reached,
                        kernels::BinaryArithmetic arithmetic) {
    const d::Operand& a = present(s.a(), "an operand");
    const d::Operand& b = present(s.b(), "an operand");
    arithmetic.signed_a = a.is_signed();
    arithmetic.signed_b = b.is_signed();
    arithmetic.result = load(s.rounding());
    return std::make_shared<executor::Binary>(
        load(a.buffer(), reached), numbers(a.strides()), load(b.buffer(), reached),
        numbers(b.strides()), load(s.out(), reached), numbers(s.sizes()), arithmetic);
}

StepPointer make(const d::Add& s, const Reached& reached) {
    kernels::BinaryArithmetic arithmetic;
    arithmetic.multiplier_a = s.multiplier_a();
    arithmetic.multiplier_b = s.multiplier_b();
    arithmetic.offset = s.offset();
    return make_binary(s, reached, arithmetic);
}

StepPointer make(const d::Multiply& s, const Reached& reached) {
    kernels::BinaryArithmetic arithmetic;
    arithmetic.product = true;
    arithmetic.multiplier_a = s.multiplier();
    arithmetic.zero_a = present(s.a(), "an operand").zero_point();
    arithmetic.zero_b = present(s.b(), "an operand").zero_point();
    return make_binary(s, reached, arithmetic);
}

StepPointer make(const d::MatMul& s, const Reached& reached) {
    return std::make_shared<executor::MatMul>(
        kernels::kernels_for(reached.isa), load_matrices(s.a(), reached),
        load_matrices(s.b(), reached), load(s.out(), reached), numbers(s.sizes()),
        load_result(s.result_type(), s.result()));
}

StepPointer make(const d::LookUp& s, const Reached& reached) {
    const Buffer x = load(s.x(), reached), out = load(s.out(), reached);
    const auto& entries = present(s.entries(), "a table");
    const std::size_t channels = entries.size() / kernels::kEntries;
    require(channels >= 1 && entries.size() % kernels::kEntries == 0,
            "a table of 256 bytes for each channel is needed");
    if (channels > 1) {
        return std::make_shared<executor::ChannelTable>(x, out, s.outer(),
                                                        static_cast<std::int64_t>(channels),
                                                        s.inner(), numbers(s.entries()));
    }
    return std::make_shared<executor::Table>(
        x, out, executor::checked_product({s.outer(), s.inner()}), entries.data());
}

StepPointer make(const d::Interpolate& s, const Reached& reached) {
    const d::Enlargement& shape = present(s.shape(), "a shape");
    const kernels::ResultRange result = load(s.rounding());
    const executor::Enlargement made{
        {shape.batch(), shape.height(), shape.width(), shape.channels()},
        shape.factor_y(),
        shape.factor_x(),
        s.centred(),
        s.is_signed(),
        s.zero_point(),
        s.multiplier(),
        result.shift,
        result.zero_point,
        result.low,
        result.high};
    return std::make_shared<executor::Interpolate>(load(s.x(), reached), load(s.out(), reached),
                                                   made);
}

StepPointer make(const d::MaxPool& s, const Reached& reached) {
    return std::make_shared<executor::MaxPool>(load(s.x(), reached), load(s.out(), reached),
                                               load(s.shape()), s.is_signed());
}

StepPointer make(const d::AveragePool& s, const Reached& reached) {
    const kernels::ResultRange result = load(s.rounding());
    return std::make_shared<executor::AveragePool>(
        load(s.x(), reached), load(s.out(), reached), load(s.sums()),
        executor::MeanArithmetic{s.multiplier(), result.shift, result.zero_point, result.low,
                                 result.high});
}

StepPointer make(const d::Copy& s, const Reached& reached) {
    const d::View& source = present(s.source(), "a view");
    const d::View& target = present(s.target(), "a view");
    return std::make_shared<executor::Copy>(
        load(source.buffer(), reached), executor::View{source.offset(), numbers(source.strides())},
        load(target.buffer(), reached), executor::View{target.offset(), numbers(target.strides())},
        numbers(s.sizes()), s.element_bytes());
}

StepPointer make(const d::Fill& s, const Reached& reached) {
    return std::make_shared<executor::Fill>(load(s.out(), reached), s.value());
}

StepPointer make(const d::RunLayer& s, const Reached& reached) {
    const d::Geometry& g = present(s.geometry(), "a geometry");
    require(s.layer() < reached.layers.size(), "runs a missing layer");
    const conv::ConvGeometry geometry{g.batch(),    g.in_h(),       g.in_w(),      g.out_h(),
                                      g.out_w(),    g.stride_h(),   g.stride_w(),  g.pad_top(),
                                      g.pad_left(), g.dilation_h(), g.dilation_w()};
    return std::make_shared<executor::Layer>(
        reached.layers[s.layer()], geometry, load(s.x(), reached),
        load_if_any(s.residual(), reached), load(s.out(), reached));
}

StepPointer make(const d::DynamicLargest& s, const Reached& reached) {
    return std::make_shared<executor::DynamicLargest>(load(s.sum(), reached),
                                                      load(s.largest(), reached));
}

StepPointer make(const d::DynamicRound& s, const Reached& reached) {
    return std::make_shared<executor::DynamicRound>(load(s.sum(), reached), load(s.out(), reached),
                                                    load(s.exponent(), reached), s.low(), s.high());
}

StepPointer make(const d::DynamicFloat& s, const Reached& reached) {
    return std::make_shared<executor::DynamicFloat>(load(s.sum(), reached), load(s.out(), reached));
}

StepPointer make(const d::DynamicMeanLargest& s, const Reached& reached) {
    return std::make_shared<executor::DynamicMeanLargest>(load(s.x(), reached), load(s.sums()),
                                                          load(s.largest(), reached));
}

StepPointer make(const d::DynamicMeanRound& s, const Reached& reached) {
    return std::make_shared<executor::DynamicMeanRound>(
        load(s.x(), reached), load(s.x_exponent(), reached), load(s.sums()), load(s.out(), reached),
        load(s.exponent(), reached), s.low(), s.high());
}

StepPointer make(const d::QuantizeLargest& s, const Reached& reached) {
    return std::make_shared<executor::QuantizeLargest>(load(s.x(), reached), load(s.shape()),
                                                       load(s.largest(), reached));
}

StepPointer make(const d::QuantizeDynamic& s, const Reached& reached) {
    return std::make_shared<executor::QuantizeDynamic>(
        load(s.x(), reached), load(s.out(), reached), load(s.shape()), load(s.exponent(), reached));
}

StepPointer make(const d::DequantizeDynamic& s, const Reached& reached) {
    return std::make_shared<executor::DequantizeDynamic>(
        load(s.x(), reached), load(s.exponent(), reached), load(s.out(), reached), load(s.shape()),
        s.is_signed());
}

// The operation of a step if it is the one that is asked for.
template <typename Operation>
bool made_as(const d::Step& step, const Reached& reached, StepPointer* made) {
    if (step.operation_type() != d::OperationTraits<Operation>::enum_value) return false;
    *made = make(present(static_cast<const Operation*>(step.operation()), "an operation"), reached);
    return true;
}

template <typename... Operations>
StepPointer made_as_any(const d::Step& step, const Reached& reached) {
    StepPointer made;
    if (!(made_as<Operations>(step, reached, &made) || ...)) {
        throw std::invalid_argument("its operation is unknown");
    }
    return made;
}

}  // namespace

StepPointer load_step(const d::Step& step, const Reached& reached) {
    return made_as_any<d::Quantize, d::Dequantize, d::Add, d::Multiply, d::MatMul, d::Softmax,
                       d::LayerNorm, d::LookUp, d::Interpolate, d::MaxPool, d::AveragePool, d::Copy,
                       d::Fill, d::RunLayer, d::DynamicLargest, d::DynamicRound, d::DynamicFloat,
                       d::DynamicMeanLargest, d::DynamicMeanRound, d::QuantizeLargest,
                       d::QuantizeDynamic, d::DequantizeDynamic>(step, reached);
}

}  // namespace sub8::loader
