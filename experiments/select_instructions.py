"""Select the texts to fine-tune a small language model on: the hypergradient with transformers and LoRA.

The base model learns here to copy and to reverse letters. LoRA teaches it to rotate them, with texts half of whose
answers are wrong: they copy. A few texts are trusted. Text i has a logit φ_i. A step of the LoRA matrices w is

    φ ← φ − Adam(∂G(ŵ(φ))/∂φ),  ŵ(φ) = S(∇_w Σ_i softmax(φ)_i ℓ_i(w)),  then  w ← ŵ(φ) with the new φ,

where ℓ_i is the cross entropy of the answer of text i, G that of the trusted texts, and S the next step of Adam.
"""

import sys
from copy import deepcopy

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vri_pyro.infer import Inner, OptimizerStep, Problem, ReplayedCall, SplitJVP, loss_and_gradient

try:
    from transformers import LlamaConfig, LlamaForCausalLM
except ModuleNotFoundError:
    sys.exit("select_instructions.py needs transformers; run: pip install 'vri-pyro[transformers]'")
LENGTH, STEPS, COPY, REVERSE, ROTATE, SEPARATOR = 5, 120, 8, 9, 10, 11  # the last four are tokens, as 0 to 7, letters


def texts(instruction: Tensor, answered: Tensor) -> Tensor:
    """Texts of an instruction, letters, a separator and the answer to the instruction ``answered``, [texts, tokens]."""
    letters = torch.randint(COPY, (len(instruction), LENGTH))
    answers = torch.stack([letters, letters.flip(1), letters.roll(1, 1)])[answered - COPY, torch.arange(len(letters))]
    return torch.cat([instruction[:, None], letters, torch.full_like(letters[:, :1], SEPARATOR), answers], 1)


def evaluate(model: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy of each answer, and whether all its letters are predicted, [texts] each."""
    logits, answers = model(input_ids=ids).logits[:, LENGTH + 1 : -1], ids[:, LENGTH + 2 :]
    return cross_entropy(logits.mT, answers, reduction="none").mean(1), (logits.argmax(-1) == answers).all(1)


def with_lora(base: nn.Module, rank: int = 8) -> nn.Module:
    """Return a copy of the model that trains only LoRA matrices, on the projections of its attention."""
    model = deepcopy(base).requires_grad_(False)
    for projection in [module for name, module in model.named_modules() if "self_attn." in name]:
        projection.a = nn.Parameter(torch.randn(rank, projection.in_features) / projection.in_features**0.5)
        projection.b = nn.Parameter(torch.zeros(projection.out_features, rank))
        projection.register_forward_hook(lambda layer, inputs, output: output + inputs[0] @ layer.a.T @ layer.b.T)
    return model


def fit(model: nn.Module, ids: Tensor, steps: int, trusted: Tensor | None = None) -> tuple[nn.Module, Tensor]:
    """Train with equal weights, or with learned ones if texts are ``trusted``; return the model and φ, [texts]."""
    logits, parameters = torch.zeros(len(ids), requires_grad=True), [p for p in model.parameters() if p.requires_grad]
    optimizer, outer = torch.optim.Adam(parameters, lr=5e-3), torch.optim.Adam([logits], lr=0.3)
    for _ in range(steps):
        if trusted is not None:
            problem = Problem(
                parameters=parameters, hyperparameters=[logits], virtual_step=OptimizerStep(optimizer, parameters),
                forward=ReplayedCall(model, lambda: evaluate(model, ids)[0]),
                inner=lambda losses: Inner((logits.softmax(0) * losses).sum()),
                meta_gradient=lambda moved: loss_and_gradient(model, moved, lambda: evaluate(model, trusted)[0].mean()),
            )  # fmt: skip
            (logits.grad,) = SplitJVP()(problem).gradients
            outer.step()
        optimizer.zero_grad()
        (logits.detach().softmax(0) * evaluate(model, ids)[0]).sum().backward()
        optimizer.step()
    return model.eval(), logits.detach()


def compare(base: nn.Module, seed: int, steps: int = STEPS) -> tuple[dict[str, list[float]], float]:
    """Return loss and fraction of right answers on new texts after each training, [2], and the AUROC of φ."""
    torch.manual_seed(seed)
    right = (torch.rand(644) < 0.5) | (torch.arange(644) >= 128)
    noisy, trusted, new = texts(torch.full((644,), ROTATE), torch.where(right, ROTATE, COPY)).split([128, 16, 500])
    sets = {"unweighted": (noisy, trusted), "trusted only": (trusted,), "oracle": (noisy[right[:128]], trusted)}
    models = {name: fit(with_lora(base), torch.cat(parts), steps)[0] for name, parts in sets.items()}
    models["selected"], logits = fit(with_lora(base), noisy, steps, trusted)
    rows = {name: [measured.double().mean().item() for measured in evaluate(m, new)] for name, m in models.items()}
    return rows, float(roc_auc_score(right[:128], logits))


def pretrained(steps: int = STEPS) -> nn.Module:
    """Return a model of two layers that copies and reverses letters."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 12, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    options = {"num_attention_heads": 4, "bos_token_id": None, "eos_token_id": None, "use_cache": False}
    operations = torch.randint(COPY, REVERSE + 1, (256,))
    return fit(LlamaForCausalLM(LlamaConfig(**sizes, **options)), texts(operations, operations), steps)[0]


if __name__ == "__main__":
    steps = 2 if "--quick" in sys.argv else STEPS
    base = pretrained(steps)
    rows, areas = zip(*(compare(base, seed, steps) for seed in range(3)), strict=True)
    for name in rows[0]:
        sd, mean = torch.std_mean(torch.tensor([row[name] for row in rows]), 0)
        print(f"{name:<20} loss {mean[0]:.3f} ± {sd[0]:.3f}, right answers {mean[1]:6.1%} ± {sd[1]:.1%}")
    print(f"AUROC of the weights, by seed: {', '.join(f'{area:.3f}' for area in areas)}")
