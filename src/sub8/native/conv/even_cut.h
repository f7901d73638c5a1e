// Cuts a row of positions into pieces as equal as possible, since very small ones are slow.
#pragma once

namespace sub8 {

class EvenCut {
  public:
    EvenCut(int positions, int largest)
        : pieces_((positions + largest - 1) / largest),
          length_(positions / pieces_),
          longer_(positions % pieces_) {}

    int pieces() const { return pieces_; }
    int length(int piece) const { return length_ + (piece < longer_ ? 1 : 0); }
    // Pieces from this one on that are as long as it is.
    int alike(int piece) const { return (piece < longer_ ? longer_ : pieces_) - piece; }

  private:
    int pieces_;
    int length_;
    int longer_;  // pieces with one position more
};

}  // namespace sub8
