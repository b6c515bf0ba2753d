/** Whether the service takes new work. */
export interface Lifecycle {
  /** Set once, at the first signal to stop or when a worker is lost. */
  isDraining: boolean;
}
