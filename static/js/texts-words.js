// One sentence from a refusal that `fetch` got: a problem document, or the status alone.
export async function sentence(answer) {
  try {
    const problem = await answer.json();
    if (problem.detail || problem.title) return String(problem.detail || problem.title);
  } catch {
    // No document.
  }
  return answer.status >= 500 ? "Not saved yet: something broke on our side." : `This was refused (${answer.status}).`;
}
