/** The same request as code, one language at a time. */
import { useState } from "react";
import { CopyButton } from "./copy-button.tsx";

export function CodeTabs({
  model,
  snippets,
}: {
  readonly model: string;
  readonly snippets: Readonly<Record<string, string>>;
}) {
  const languages = Object.keys(snippets);
  const [chosen, setChosen] = useState(languages[0] ?? "");
  const code = snippets[chosen] ?? "";
  return (
    <div className="code">
      <div className="tabs">
        <span>The same from</span>
        {languages.map((language) => (
          <button
            key={language}
            type="button"
            aria-pressed={language === chosen}
            onClick={() => setChosen(language)}
          >
            {language}
          </button>
        ))}
        <CopyButton text={code}>Copy</CopyButton>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it may scroll, so the keyboard must reach it. */}
      {/* biome-ignore lint/a11y/useSemanticElements: a section keeps no line breaks. */}
      <pre tabIndex={0} role="region" aria-label={`${chosen} for ${model}`}>
        {code}
      </pre>
    </div>
  );
}
