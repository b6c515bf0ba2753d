/**
 * The code that piscina runs in each of its threads, as an entry point of the executable: there is no
 * node_modules inside to load it from. From source piscina finds its own.
 */
import "../node_modules/piscina/dist/worker.js";
