/** A button that copies, and says whether it did. */
import { type ReactNode, useEffect, useState } from "react";
import { copyText } from "./copy-text.ts";

/** How long it says so, ms. */
const toldMs = 2_000;

export function CopyButton({
  text,
  children,
}: {
  readonly text: string;
  readonly children: ReactNode;
}) {
  const [outcome, setOutcome] = useState<"copied" | "refused">();
  useEffect(() => {
    if (outcome !== "copied") return;
    const timer = setTimeout(() => setOutcome(undefined), toldMs);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = async () => setOutcome((await copyText(text)) ? "copied" : "refused");
  return (
    <>
      <button type="button" className="copy" onClick={() => void copy()}>
        {outcome === "copied" ? "Copied" : children}
      </button>
      <span className="unseen" role="status">
        {outcome === "copied" ? "Copied to the clipboard." : ""}
      </span>
      {outcome === "refused" && (
        <label className="by-hand">
          The browser did not let the page copy: press Ctrl-C.
          <textarea readOnly rows={4} value={text} ref={(field) => field?.select()} />
        </label>
      )}
    </>
  );
}
