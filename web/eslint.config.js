import js from '@eslint/js';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

/** Forbids imports from these folders of src/lib. */
const zone = (files, folders, reason) => ({
  files,
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          { group: folders.map((folder) => `**/${folder}/**`), message: reason, allowTypeImports: true },
        ],
      },
    ],
  },
});

export default ts.config(
  { ignores: ['dist', 'node_modules', 'src/lib/wasm/pkg'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  { files: ['**/*.svelte', '**/*.svelte.ts'], languageOptions: { parserOptions: { parser: ts.parser } } },
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      'no-undef': 'off', // TypeScript knows
      'no-console': 'error',
      'svelte/no-at-html-tags': 'error',
    },
  },
  { files: ['scripts/**', 'e2e/**'], rules: { 'no-console': 'off' } },
  zone(['src/lib/ui/**'], ['api', 'chat', 'vault', 'wasm', 'routes'], 'components get props and call back'),
  zone(['src/routes/**'], ['api', 'vault', 'wasm'], 'routes wire chat and ui'),
  zone(['src/lib/chat/**'], ['ui', 'routes'], 'state knows no components'),
  zone(['src/lib/api/**', 'src/lib/vault/**'], ['chat', 'ui', 'routes', 'wasm'], 'the lowest layer'),
  zone(['src/lib/wasm/**'], ['chat', 'ui', 'routes'], 'the Worker knows no interface'),
);
