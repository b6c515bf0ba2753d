/**
 * Turns scores into probabilities that sum to 1.
 *
 * @param scores logits, finite.
 * @returns one probability a score, in their order; none for none.
 */
export function softmax(scores: readonly number[]): number[] {
  // Without the greatest score the exponentials could overflow; the quotient is the same.
  const greatest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - greatest));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
