/** Whether the service takes new work. */
export interface Lifecycle {
  /** Set once, at the first signal to stop or when a worker is lost. */
  isDraining: boolean;
  /** Whether another instance has taken the port over, so that clients should leave their connections. */
  isHandingOver: boolean;
}
