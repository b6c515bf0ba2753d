/** Bounds that are not settings: nobody should need to change them. Settings are in `config.ts`. */
export const limits = {
  /** Images that one inference takes at most: beyond it throughput no longer grows. */
  maxBatch: 8,
  /** Texts that one task brings at most: of the longest kind they take as long as `maxBatch` images. */
  maxTextBatch: 16,
  /** Redirects that an image fetch follows. */
  maxRedirects: 5,
  /** Longest silence of an image's host: before its answer's head, name look-up included, and between two pieces of body. */
  fetchSilenceMs: 8_000,
  /** Host names of image URLs that are looked up at once. */
  maxNameLookUps: 1024,
  /** Pixels of a thumbnail's longer side. */
  thumbnailSide: 320,
  /** Characters of a thumbnail in base64. */
  maxThumbnailChars: 48_000,
  /** Characters of an image URL. */
  maxUrlChars: 8192,
  /** Characters of a `filename` that are echoed back. */
  maxFilenameChars: 255,
  /** Characters of a `filename` that are looked at for that. */
  maxFilenameLookChars: 8192,
  /** Characters of a model's name. */
  maxModelChars: 100,
  /** Characters of a client's `X-Request-Id` that are believed. */
  maxRequestIdChars: 128,
  /** Uploads up to this many bytes stay in memory; larger ones go to disk as they arrive. */
  maxUploadInMemoryBytes: 256 * 1024,
  /** Bytes of log lines that wait for whoever reads them; beyond it lines are dropped. */
  maxHeldLogBytes: 2 * 1024 * 1024,
  /** Clients whose requests are counted at once, some 150 bytes each. */
  maxCountedClients: 100_000,
  /** Bytes of one text field of a form. */
  maxFormFieldBytes: 64 * 1024,
  /** Parts of a multipart form. */
  maxFormParts: 32,
  /** Longest time that one image may take to decode, and after which a batch begins with no further one. */
  decodeTimeoutMs: 20_000,
  /** Pixels of an image's width, and of its height: JPEG has no more, and a decoder holds hundreds of whole rows. */
  maxSidePixels: 65_535,
  /** Boxes of an AVIF: some dozens are usual, some hundreds where it has tiles. */
  maxAvifBoxes: 4_096,
  /** Scans of a progressive JPEG: ten are usual, and each goes over the whole image. */
  maxJpegScans: 100,
  /** A worker's task that takes longer hangs in native code. */
  hangTimeoutMs: 180_000,
  /** Longest wait for a worker to load its model and run it once. */
  warmUpTimeoutMs: 120_000,
  /** Longest wait for a model to be prepared: 605 MB are hashed, and as much is written. */
  writeModelTimeoutMs: 900_000,
  /** Longest wait for an idle worker's sign of life. */
  pingTimeoutMs: 30_000,
  /** Between two looks at the idle workers and at what the service manager is told. */
  beatIntervalMs: 5_000,
  /** A signal so soon after the first is the same one: package runners pass a terminal's Ctrl-C on, which arrives anyway. */
  signalEchoMs: 500,
  /** From the first signal to the end of the process. */
  shutdownTimeoutMs: 29_000,
  /** Seconds after which a connection is cut that is idle, or silent in the middle of a request's head. */
  idleTimeoutS: 30,
  /** Longest pause in a body. */
  bodySilenceMs: 60_000,
  /** Bytes a second with which a body must have come on average, once `bodyGraceMs` are over: half of a slow mobile upload. */
  minBodyBytesPerS: 1_000,
  /** How slowly a body may begin. */
  bodyGraceMs: 10_000,
  /** Bytes of a body that brings a URL and no image. */
  maxUrlBodyBytes: 256 * 1024,
  /** Brackets and commas of a JSON body. */
  maxJsonValues: 10_000,
  /** Names of a JSON body: objects of many more take long to parse, and to copy between threads. */
  maxJsonNames: 4_000,
  /** Levels of a JSON body, one inside the other. */
  maxJsonDepth: 64,
  /** JSON bodies up to this many bytes are parsed on the main thread, in less than 1 ms. */
  maxJsonOnMainThreadBytes: 256 * 1024,
  /** The thread for larger ones ends after so long without one, and gives its memory back. */
  jsonThreadIdleMs: 30_000,
  /** A JSON body that is not parsed by then never will be: the largest takes a tenth of a second. */
  jsonParseTimeoutMs: 10_000,
  /** Longest time from the last byte of a JSON body until it is parsed, its wait for others included. */
  jsonTimeoutMs: 30_000,
  /** Texts of one request for their vectors; texts and images, where it takes both. */
  maxTexts: 256,
  /** Models that one request asks for vectors of the same image. */
  maxModels: 8,
  /** Images of one request with several that are under way at once: enough that batches are full. */
  maxImagesUnderWay: 24,
  /** Of these, those that are fetched: as large as images may be, they are less than a client's share of `maxHeldBytes`. */
  maxFetchedUnderWay: 8,
  /** Texts that one image is compared with. */
  maxComparedTexts: 64,
  /** Bytes of JSON with texts: room for `maxTexts` of all that the model reads, in any script and escaped. */
  maxTextBodyBytes: 1024 * 1024,
  /** Brackets and commas of a JSON body with texts, whose own commas count too. */
  maxTextJsonValues: 65_536,
  /** Images up to this many bytes are hashed on the main thread, in less than 0.3 ms. */
  maxHashedOnMainThreadBytes: 256 * 1024,
  /** The threads that hash larger ones and write the embedding cache end after so long without work. */
  cacheThreadIdleMs: 30_000,
  /** An image that is not hashed by then never will be: the largest takes a second. */
  hashTimeoutMs: 30_000,
  /** Vectors that wait to be written to the embedding cache; beyond it they are not kept. */
  maxUnwrittenVectors: 1024,
  /** How long a new vector waits for others that are written with it; found it is at once. */
  cacheWriteDelayMs: 1000,
  /** Vectors that are written at once. */
  maxWrittenVectors: 64,
  /** Bytes of vectors that are remembered as they were read from the embedding cache: some six thousand of 512 numbers. */
  maxRememberedVectorBytes: 16 * 1024 * 1024,
  /** Bytes of answers with cached vectors that are remembered as they were written: some thousand of 512 numbers. */
  maxLookUpBodyBytes: 16 * 1024 * 1024,
  /** How long the embedding cache waits for another process that writes to it. */
  cacheBusyMs: 2_000,
  /** How long `imagesvc downloads delete` waits for a service that writes to the embedding cache. */
  cacheLockTimeoutMs: 10_000,
  /** How long nothing is written to the embedding cache once that has failed. */
  cacheRestMs: 60_000,
  /** Longest wait for the newest vectors to be written before the process ends. */
  cacheCloseTimeoutMs: 2_000,
  /** Requests whose body is arriving at once, of which one client may have as many as are free: half where it is alone. */
  maxArriving: 512,
  /** Bytes of bodies and fetched images that are held in memory at once, and shared like `maxArriving`: uploads that go to disk do not count. */
  maxHeldBytes: 512 * 1024 * 1024,
  /** Bytes of JSON around an image in base64, beside one and a half times the image's own. */
  maxJsonFrameBytes: 64 * 1024,
  /** Longest time that a body may take to arrive. */
  bodyTimeoutMs: 300_000,
  /** After the first signal: how long requests may finish; then they are cut, so that the end is clean. */
  drainTimeoutMs: 20_000,
  /** A file under way that is older is locked, if it is anybody's. */
  lockGraceMs: 60_000,
  /** How long the disk of the downloads folder is not asked again for its free space while files are written. */
  freeSpaceRecheckMs: 1_000,
  /** How long `imagesvc keys` waits for another that changes the same file. */
  keysLockTimeoutMs: 5_000,
  /** Least pause between two looks for kept images whose time is over. */
  retentionIntervalMs: 60_000,
  /** A step of the host's clock that means nothing: less than any age that one would keep images for. */
  clockToleranceMs: 10 * 60_000,
  /** How long a clock that was set ahead is doubted, so that somebody can set it right before images go for their age. */
  clockDoubtMs: 24 * 3_600_000,
  /** Oldest images that one such look remembers to delete where there are too many bytes. */
  maxPruned: 10_000,
  /** How long the address is kept at least once another instance has it: handshakes that began here end here. */
  handOverSettleMs: 3_000,
  /** How long connections may go on then: nobody waits for their end, so longer than `bodyTimeoutMs` and an answer take. */
  handOverTimeoutMs: 400_000,
  /** Longest wait for the running instance to say what it serves. */
  predecessorTimeoutMs: 5_000,
  /** How often it is looked whether they are gone. */
  handOverPollMs: 250,
  /** Spans that wait for a collector; beyond it they are dropped. */
  maxQueuedSpans: 2048,
  /** Stages of one request that become spans. */
  maxStageSpans: 100,
  /** Longest time that a collector may take for a batch of spans, retries included. */
  traceExportTimeoutMs: 10_000,
  /** Longest wait for the last spans to be sent before the process ends. */
  traceFlushTimeoutMs: 2_000,
  /** Requests that `imagesvc embed --remote` has under way: far fewer than the places of a service, which others want too. */
  remoteWidth: 16,
  /** How long `imagesvc embed --remote` waits in all for a service that is busy, restarts or cannot be reached, for each image or text. */
  remotePatienceMs: 600_000,
  /** Longest pause before it asks again where the service does not say. */
  remotePauseMs: 15_000,
  /** How long the rest of a refused body is read and thrown away. */
  hearOutTimeoutMs: 1_000,
} as const;
