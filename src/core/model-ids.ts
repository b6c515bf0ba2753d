/** The names of models: a request may use the plain id, or the exact one. */

/** What a model is called by. */
interface Named {
  readonly id: string;
  readonly exactId: string;
}

/** The model that a request names; undefined where it is none of these. */
export function findModel<Model extends Named>(
  models: readonly Model[],
  name: string,
): Model | undefined {
  return models.find(({ id, exactId }) => [id, exactId].includes(name));
}

/** The same among models of texts, which may embed them under another id than images. */
export function findTextModel<Model extends Named & { readonly textId?: string }>(
  models: readonly Model[],
  name: string,
): Model | undefined {
  return findModel(models, name) ?? models.find(({ textId }) => textId === name);
}

/** Every id that names one of these models, as a sentence lists them. */
export function listIds(models: readonly Named[]): string {
  return [...new Set(models.flatMap(({ id, exactId }) => [id, exactId]))].join(", ");
}
